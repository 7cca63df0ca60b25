// One accept(): its tries, and the connection in hand between them. Internal to netpoll.
//
//   acceptance next(listener, {made->io, made->local, made->remote, ...});
//   const io_result r = listener.io.transfer(poll_side::read, sched::wait_reason::accept, next,
//                                            [&](const io_result& bad) {
//     next.leave_connection();
//     ...
//   });
//
// An accepted socket has the listener's local address unless that is a wildcard, which saves a system call per
// connection.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/listener_state.h>
#include <baton/syscall/owned_fd.h>

#include <sys/socket.h>
#include <cstdint>

namespace baton::net {

// For the holder of the listener's read lock.
class acceptance {
 public:
  // Parts of a state, to be filled. `local` is the address that the listener is bound to.
  struct connection {
    descriptor& io;
    address& local;
    address& remote;
    descriptor::short_reads reads;
  };

  acceptance(listener_state& listener, connection made) noexcept
      : listener_(listener), made_(made), is_wildcard_(made.local.is_wildcard()) {}
  acceptance(const acceptance&) = delete;
  acceptance& operator=(const acceptance&) = delete;
  ~acceptance() { hang_up(); }

  // Ends the accept() without success, while it still holds the listener: the connection in hand is left to the next
  // accept().
  void leave_connection() noexcept {
    // release: pairs with the exchange in listener_state. The next accept() comes after the read lock.
    if (connection_) listener_.kept.store(connection_.release(), mo::release);
  }

  // A step of descriptor::transfer().
  io_step operator()(int fd, io_result& result);

 private:
  void hang_up() noexcept;
  int take_over();
  io_step failed(int error, io_result& result) noexcept;
  io_step drop() noexcept;
  io_step pause() noexcept;

  // Pauses while descriptors or memory are short, as in Go's net/http.
  static constexpr std::int64_t pause_first_ns = 5'000'000;
  static constexpr std::int64_t pause_max_ns = 1'000'000'000;

  listener_state& listener_;
  connection made_;
  const bool is_wildcard_;
  sys::owned_fd connection_;  // accepted, but not yet owned by made_
  sockaddr_storage from_{};
  socklen_t from_size_ = 0;  // 0: the connection was kept
  int failures_ = 0;
  std::int64_t pause_ns_ = pause_first_ns;
};

}  // namespace baton::net
