// Draining, step by step: `draining` is set, so that a connection stops after the request that it is
// serving; then every connection's read deadline is moved into the past, which ends the waits of those
// that are idle. No connection is missed: it registers before its first read, and after each move of its
// own read deadline it looks at `draining`, so either it sees that, or we come after it.
#include "server.h"

#include "connection.h"

#include <fcntl.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

namespace http_server {

namespace {

constexpr auto past = std::chrono::steady_clock::time_point::min();

}  // namespace

server::server(settings s) : settings_(std::move(s)) {}

int server::run() {
  root_.reset(::open(settings_.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root_) {
    std::fprintf(stderr, "http_server: %s: %s\n", settings_.root.c_str(), std::strerror(errno));
    return 1;
  }
  auto listener = baton::net::tcp_listener::bind(settings_.address);
  if (!listener.ok()) {
    std::fprintf(stderr, "http_server: %s\n", listener.status().ToString().c_str());
    return 1;
  }
  listener_ = std::move(*listener);

  const baton::channel<int> stop(1);
  baton::os_signals::notify(stop, {SIGTERM, SIGINT});
  auto stopper = baton::spawn({.name = "stopper"}, [&] {
    if (stop.receive()) listener_.close();  // ends accept_all()
  });
  std::printf("listening on %s\n", listener_.local_address().to_string().c_str());
  std::fflush(stdout);

  accept_all();
  stop.close();  // should accept() have failed by itself
  stopper.join();
  return drain();
}

void server::accept_all() {
  for (;;) {
    auto stream = listener_.accept();
    if (!stream.ok()) return;  // closed
    connections_.add();
    baton::go({.name = "connection"}, [this, s = std::move(*stream)]() mutable { serve(std::move(s)); });
  }
}

void server::serve(baton::net::tcp_stream stream) {
  open_mutex_.lock();
  const auto mine = open_.insert(open_.end(), &stream);
  open_mutex_.unlock();
  counters_.connections.fetch_add(1, std::memory_order_relaxed);

  connection(*this, stream).run();

  counters_.connections.fetch_sub(1, std::memory_order_relaxed);
  open_mutex_.lock();
  open_.erase(mine);
  open_mutex_.unlock();
  stream.close();
  connections_.done();
}

int server::drain() {
  draining_.store(true, std::memory_order_release);
  {
    const std::lock_guard guard(open_mutex_);
    for (auto* const stream : open_) stream->set_read_deadline(past);
  }
  const bool all = connections_.wait_for(settings_.drain_timeout);
  std::size_t left = 0;
  if (!all) {
    const std::lock_guard guard(open_mutex_);
    for (auto* const stream : open_) stream->set_deadline(past);  // those that their peers do not read from
    left = open_.size();
  }
  std::printf("%s: %llu requests, %zu connections cut off\n", all ? "drained" : "drain timeout",
              static_cast<unsigned long long>(counters_.requests.load(std::memory_order_relaxed)), left);
  std::fflush(stdout);
  return all ? 0 : 1;
}

}  // namespace http_server
