// What all connections of the server share, and the server's life: listen, serve, drain.
#pragma once

#include "peer.h"

#include <baton/baton.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <string>

namespace http_server {

struct settings {
  std::string address = "127.0.0.1:8080";
  std::string root = ".";  // what /file serves
  std::string tls_cert;    // PEM files; empty: no TLS
  std::string tls_key;
  std::chrono::milliseconds header_timeout{5'000};  // for a whole request, from its first byte (the first
                                                    // request: from the connection's beginning)
  std::chrono::milliseconds idle_timeout{60'000};   // between requests
  std::chrono::milliseconds write_timeout{30'000};  // for a peer that takes nothing of what the server sends
  std::chrono::milliseconds drain_timeout{10'000};
  int sleeps_at_once = 16;  // threads that /sleep may block; further requests for it wait without a thread
};

class server {
 public:
  explicit server(settings s);

  // Serves until SIGTERM or SIGINT, then drains: accepts no new connections, answers the requests that are under way,
  // and closes idle connections. Returns the process's exit code. If it is 1, the drain timeout may have passed, and
  // connections may still use the server.
  int run();

  [[nodiscard]] const settings& config() const { return settings_; }
  [[nodiscard]] bool draining() const { return draining_.load(std::memory_order_acquire); }
  [[nodiscard]] int root_directory() const { return root_.get(); }
  [[nodiscard]] baton::blocking_gate& sleep_gate() { return sleep_gate_; }

  // Plain counters. They synchronise nothing.
  struct counters {
    std::atomic<std::uint64_t> requests{0}, sleeps{0}, refused{0}, connections{0};
  };
  [[nodiscard]] counters& count() { return counters_; }

 private:
  absl::Status load_certificate();
  void serve(baton::net::tcp_stream& stream);
  // Over TLS it does the handshake, which a drain ends.
  absl::StatusOr<peer> make_peer(baton::net::tcp_stream& stream);
  int drain();

  settings settings_;
  baton::sys::owned_fd root_;
  counters counters_;
  std::atomic<bool> draining_{false};
  baton::mutex open_mutex_;
  std::list<peer*> open_;  // every connection, so that draining can end idle waits
  baton::blocking_gate sleep_gate_;
  baton::cancellable_context handshakes_ = baton::with_cancel(baton::context::background());
#ifdef HTTP_SERVER_TLS
  baton::net::tls_context tls_;  // empty: no TLS
#endif
  baton::task_group connections_;
};

}  // namespace http_server
