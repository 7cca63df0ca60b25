// Draining, step by step: `draining` is set, so that a connection stops after the request that it is serving. Then
// every connection's read deadline is moved into the past, which ends the waits of the idle ones. No connection is
// missed: it registers before its first read, and reads `draining` after each move of its own read deadline. So either
// it sees that `draining` is set, or the drain moves its deadline later. A connection that is in its TLS handshake is
// ended by the context `handshakes_`.
#include "http/server.h"

#include "command_line.h"
#include "http/connection.h"
#include "serve_until_signal.h"

#include <absl/cleanup/cleanup.h>

#include <cstdio>
#include <mutex>
#include <utility>

namespace http {

namespace {

constexpr auto past = std::chrono::steady_clock::time_point::min();

}  // namespace

server::server(const char* program, settings s, handler h)
    : program_(program), settings_(std::move(s)), handler_(std::move(h)) {}

int server::run() {
  if (const absl::Status s = load_certificate(); !s.ok()) return examples::failed(program_, s);
  auto listener = baton::net::tcp_listener::bind(settings_.address);
  if (!listener.ok()) return examples::failed(program_, listener.status());
  const absl::Status end = examples::serve_until_signal(*listener, connections_,
                                                        [this](auto& stream, const baton::context&) { serve(stream); });
  listener->close();
  if (!end.ok()) examples::failed(program_, end);
  const int code = drain();
  return end.ok() ? code : 1;
}

absl::Status server::load_certificate() {
  if (settings_.tls_cert.empty()) return absl::OkStatus();
#ifdef EXAMPLES_TLS
  auto context = baton::net::tls_context::server(settings_.tls_cert, settings_.tls_key, {.alpn = {"http/1.1"}});
  if (!context.ok()) return context.status();
  tls_ = *std::move(context);
  return absl::OkStatus();
#else
  return absl::UnimplementedError("it was built without OpenSSL, and so without TLS");
#endif
}

absl::StatusOr<peer> server::make_peer(baton::net::tcp_stream& stream) {
#ifdef EXAMPLES_TLS
  if (!tls_.is_empty()) {
    auto tls = baton::net::tls_stream::accept(std::move(stream), tls_,
                                              {.timeout = settings_.header_timeout, .ctx = handshakes_});
    if (!tls.ok()) return tls.status();
    return peer(*std::move(tls));
  }
#endif
  return peer(std::move(stream));
}

void server::serve(baton::net::tcp_stream& tcp) {
  baton::this_fiber::set_name("connection");
  auto made = make_peer(tcp);
  if (!made.ok()) return;
  peer& stream = *made;
  const auto mine = [&] {
    const std::lock_guard guard(open_mutex_);
    return open_.insert(open_.end(), &stream);
  }();
  counters_.connections.fetch_add(1, std::memory_order_relaxed);
  const absl::Cleanup leave = [&] {
    counters_.connections.fetch_sub(1, std::memory_order_relaxed);
    const std::lock_guard guard(open_mutex_);
    open_.erase(mine);
  };
  connection(*this, stream).run();
}

int server::drain() {
  draining_.store(true, std::memory_order_release);
  handshakes_.cancel();
  {
    const std::lock_guard guard(open_mutex_);
    for (auto* const stream : open_) stream->set_read_deadline(past);
  }
  const bool all = connections_.wait_for(settings_.drain_timeout);
  std::size_t left = 0;
  if (!all) {
    const std::lock_guard guard(open_mutex_);
    for (auto* const stream : open_) stream->set_deadline(past);  // those whose peers do not read
    left = open_.size();
  }
  std::printf("%s: %llu requests, %zu connections cut off\n", all ? "drained" : "drain timeout",
              static_cast<unsigned long long>(counters_.requests.load(std::memory_order_relaxed)), left);
  std::fflush(stdout);
  return all ? 0 : 1;
}

}  // namespace http
