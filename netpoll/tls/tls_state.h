// The state of a tls_stream: the TCP stream, the engine, and the way of the bytes between them. Internal to
// netpoll/tls.
//
// A read holds the read lock of the descriptor, a write its write lock. The engine has a lock of its own, which both
// take for a piece of work at a time: a read to receive and decrypt, a write to encrypt. No agent waits for the socket
// with that lock held, so a read never waits for a write that waits for the peer, nor the other way round.
//
//   read    With the engine's lock: decrypt what is there; if that is nothing, receive what the kernel has, and again.
//           Nothing there either: give the lock back, and wait for an edge.
//   write   With the engine's lock: encrypt a piece, and take the engine's output: `in_flight`. Without it: send that.
//           Wait for an edge whenever the kernel takes no more. Go on until there is no output.
//
// Order of the output. `sends` is set, under the engine's lock, before in_flight gets bytes, and cleared when they are
// gone. What the engine puts out while a read uses it (an alert, an answer to a key update) is sent by that read only
// if `sends` is not set, and only as far as the kernel takes it. Otherwise the write sends it: it looks at the output
// before it clears `sends`. A write that fails leaves in_flight and `sends` as they are, and the next one sends that
// first.
//
// A post-handshake message can come in parts. Until it is complete, OpenSSL does not encrypt. The write then receives,
// too. A read that waits for an edge would miss these bytes: the kernel reports no edge if they are gone by the time
// that the poller asks it. So the write posts the edge itself (tell_reader()), after it has received, and while it has
// the engine's lock. The read looks at the engine after each edge, with that lock.
#pragma once

#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/fd_mutex.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/netpoll/tcp_stream.h>
#include <baton/netpoll/tls/byte_queue.h>
#include <baton/netpoll/tls/tls_engine.h>
#include <baton/netpoll/tls/tls_output.h>
#include <baton/netpoll/tls/tls_stream.h>
#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace baton::net {

struct tls_state {
  // Requires: the stream is open or closed, not moved from.
  tls_state(tcp_stream from, std::unique_ptr<tls_engine> with) noexcept
      : tcp(std::move(from)), engine(std::move(with)), io(tcp.state_->io) {}
  tls_state(const tls_state&) = delete;
  tls_state& operator=(const tls_state&) = delete;

  // Switches. Called once, before any other call uses the stream.
  absl::Status shake_hands(const tls_handshake_options& options);

  // Switch.
  template <descriptor::amount Amount>
  absl::StatusOr<std::size_t> read(bytes buffer);
  absl::Status send(tls_output& output, const char* operation);
  // For close_and_delete() in descriptor.h. No other call is inside: sends close_notify, as far as the kernel takes it
  // at once, because a peer that does not read must not hold up a close.
  void before_close(int fd) noexcept;
  // The thread has called exit(), and a call is inside that may never leave: the state stays.
  void leave_at_exit() noexcept;

  static constexpr std::string_view kind = "tls stream";
  [[nodiscard]] std::string name() const { return tcp.state_->name(); }

  tcp_stream tcp;
  const std::unique_ptr<tls_engine> engine;  // guarded by engine_lock, except for found() after the handshake
  descriptor& io;                            // tcp's

 private:
  using engine_hold = fd_hold<fd_mutex::side::write>;

  // For the holder of the engine's lock:
  // Returns what the kernel's receive does.
  long receive(int fd, bool& emptied) noexcept;
  void send_answers(int fd) noexcept;
  io_step read_step(int fd, io_result& r, descriptor::layer_reads& reads, bytes buffer, bool whole,
                    absl::Status& error);
  io_step handshake_step(int fd, io_result& r, descriptor::layer_reads& reads, tls_engine::outcome& got);

  // For the holder of the write lock:
  io_step send_step(int fd, io_result& r, tls_output& output, std::int64_t& pause_ns, absl::Status& error,
                    const char* operation);
  // Requires: in_flight is empty. Fills it. done: there is nothing to send, or it has failed.
  io_step encrypt(int fd, io_result& r, tls_output& output, std::int64_t& pause_ns, absl::Status& error,
                  const char* operation);

  [[nodiscard]] absl::Status failed(const absl::Status& why, const char* operation) const;

  fd_mutex engine_lock_;      // its write side; it is never closed
  bool sends_ = false;        // guarded by engine_lock_
  bool peer_ended_ = false;   // the TCP stream has ended. Guarded by engine_lock_
  byte_queue in_flight_;      // guarded by the write lock
  bool write_ended_ = false;  // close_notify was made. Guarded by the write lock
  bool cut_off_ = false;      // the last write was ended halfway. Guarded by the write lock
  tls_state* next_left_ = nullptr;
};

}  // namespace baton::net
