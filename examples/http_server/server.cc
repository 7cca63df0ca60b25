// Draining, step by step: `draining` is set, so that a connection stops after the request that it is
// serving; then every connection's read deadline is moved into the past, which ends the waits of those
// that are idle. A connection registers before its first read and looks at `draining` after each
// request, so none is missed.
#include "server.h"

#include "connection.h"

#include <csignal>
#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <utility>

namespace http_server {

server::server(settings s) : settings_(std::move(s)) { renew_date(); }

std::string_view server::date_header() const {
  return dates_[current_date_.load(std::memory_order_acquire)];
}

void server::renew_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[64];
  const std::size_t n = std::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
  const int other = 1 - current_date_.load(std::memory_order_relaxed);
  dates_[other].assign(text, n);  // the same length each time: no reallocation under a slow reader
  current_date_.store(other, std::memory_order_release);
}

void server::serve(baton::net::tcp_stream stream) {
  std::list<baton::net::tcp_stream*>::iterator mine;
  {
    const std::lock_guard guard(open_mutex_);
    mine = open_.insert(open_.end(), &stream);
  }
  connections.fetch_add(1, std::memory_order_relaxed);
  connection(*this, stream).run();
  {
    const std::lock_guard guard(open_mutex_);
    open_.erase(mine);
  }
  stream.close();
  connections.fetch_sub(1, std::memory_order_relaxed);
  all_closed_.done();
}

void server::drain() {
  draining_.store(true, std::memory_order_release);
  listener_.close();
  const std::lock_guard guard(open_mutex_);
  for (baton::net::tcp_stream* const s : open_) s->set_read_deadline(std::chrono::steady_clock::time_point::min());
}

int server::run() {
  root_.reset(::open(settings_.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root_) {
    std::perror(settings_.root.c_str());
    return 1;
  }
  auto listener = baton::net::tcp_listener::bind(settings_.address);
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
    return 1;
  }
  listener_ = std::move(*listener);

  const baton::channel<int> stop(1);
  baton::os_signals::notify(stop, {SIGTERM, SIGINT});
  std::printf("listening on %s\n", listener_.local_address().to_string().c_str());
  std::fflush(stdout);

  baton::go({.name = "drain"}, [&] {
    static_cast<void>(stop.receive());
    drain();
  });
  baton::go({.name = "clock"}, [&] {
    while (!draining()) {
      baton::this_fiber::sleep_for(std::chrono::seconds(1));
      renew_date();
    }
  });
  for (;;) {
    auto stream = listener_.accept();
    if (!stream.ok()) break;  // closed by drain()
    all_closed_.add();
    baton::go({.name = "connection"}, [this, s = std::move(*stream)]() mutable { serve(std::move(s)); });
  }
  const bool all = all_closed_.wait_for(settings_.drain_timeout);
  std::printf("%s: %llu requests, %d connections left\n", all ? "drained" : "drain timeout",
              static_cast<unsigned long long>(requests.load()), connections.load());
  std::fflush(stdout);
  return all ? 0 : 1;
}

}  // namespace http_server
