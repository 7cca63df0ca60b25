// A server of HTTP/1.1, with a fiber for each connection: what all connections share, and its life: listen, serve,
// drain.
#pragma once

#include "http/peer.h"
#include "http/request.h"
#include "http/settings.h"

#include <baton/baton.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>

namespace http {

class connection;

// Answers a request by connection::out(). May change the request: keep_alive = false closes the connection afterwards.
// Called in the fiber of the connection, so it may wait. Switches.
using handler = std::function<void(request&, connection&)>;

class server {
 public:
  server(const char* program, settings s, handler h);

  // Serves until SIGTERM or SIGINT, then drains: accepts no new connections, answers the requests that are under way,
  // and closes idle connections. Returns the process's exit code. If it is 1, the drain timeout may have passed, and
  // connections may still use the server.
  int run();

  [[nodiscard]] const settings& config() const { return settings_; }
  [[nodiscard]] bool draining() const { return draining_.load(std::memory_order_acquire); }
  void answer(request& r, connection& c) const { handler_(r, c); }

  // Plain counters. They synchronise nothing.
  struct counters {
    std::atomic<std::uint64_t> requests{0}, refused{0}, connections{0};
  };
  [[nodiscard]] counters& count() { return counters_; }

 private:
  absl::Status load_certificate();
  void serve(baton::net::tcp_stream& stream);
  // Over TLS it does the handshake, which a drain ends.
  absl::StatusOr<peer> make_peer(baton::net::tcp_stream& stream);
  int drain();

  const char* const program_;
  const settings settings_;
  const handler handler_;
  counters counters_;
  std::atomic<bool> draining_{false};
  baton::mutex open_mutex_;
  std::list<peer*> open_;  // every connection, so that draining can end idle waits
  baton::cancellable_context handshakes_ = baton::with_cancel(baton::context::background());
#ifdef EXAMPLES_TLS
  baton::net::tls_context tls_;  // empty: no TLS
#endif
  baton::task_group connections_;
};

}  // namespace http
