// The stream below a WebSocket that one fiber reads and another one writes. Beast's WebSocket is for one thread at a
// time: so the fiber inside it has the turn. A read gives the turn away while it waits for the peer, and takes it
// again before it returns into Beast.
#pragma once

#include "http/connection.h"
#include "http/peer.h"

#include <baton/baton.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>

namespace ws_chat {

class turn_stream {
 public:
  // A peer that sends nothing for `patience` (not even the answer to a ping) is given up, and so is one that takes
  // nothing for so long.
  turn_stream(http::upgraded from, std::chrono::milliseconds patience, std::function<bool()> is_stopping);

  // Wait for the turn. Switch.
  void lock() { turn_.lock(); }
  void unlock() { turn_.unlock(); }

  // The calls that asio_stream makes. The caller has the turn. Switch.
  absl::StatusOr<std::size_t> read(baton::bytes into);
  absl::Status write_v(std::span<const baton::const_bytes> pieces);
  absl::Status close_write();

  // Called once, by a read that finds that the server stops; it must not wait.
  std::function<void()> on_stop;
  // From now on reads fail, except those that wait already: the caller has the turn, and will say goodbye.
  void end_reads() { reads_end_ = true; }
  // Ends the sending side, and reads until the peer has closed. The caller has the turn. Switches.
  void linger();
  // Ends all calls. May be called by any fiber. Never switches.
  void drop();

  // Returns true if the peer has sent something since the call before.
  [[nodiscard]] bool was_heard() { return heard_.exchange(false, std::memory_order_relaxed); }

 private:
  absl::StatusOr<std::size_t> receive();
  void set_read_deadline();

  http::peer& peer_;
  std::string received_;
  const std::chrono::milliseconds patience_;
  const std::function<bool()> is_stopping_;
  baton::mutex turn_;
  bool reads_end_ = false;
  bool has_stopped_ = false;
  // Once nothing more is sent, a peer has two seconds to close.
  std::atomic<bool> is_ending_{false};
  std::optional<std::chrono::steady_clock::time_point> ends_at_;
  std::atomic<bool> heard_{false};
  std::atomic<bool> dropped_{false};
};

}  // namespace ws_chat
