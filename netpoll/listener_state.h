// What a listener owns, of whatever kind. Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/files.h>

#include <string>

namespace baton::net {

struct listener_state {
  listener_state() noexcept = default;
  ~listener_state() { hang_up_kept(); }
  listener_state(const listener_state&) = delete;
  listener_state& operator=(const listener_state&) = delete;

  descriptor io;
  address local;

  // Switches. Closes the connection that is kept.
  void last_use(last_use_for) noexcept { hang_up_kept(); }
  void hang_up_kept() noexcept {
    // acquire: pairs with the store in acceptance.h.
    if (const int number = kept.exchange(-1, mo::acquire); number >= 0) (void)sys::close(number);
  }
  // The number of a connection that an accept() had in hand when a deadline or a context ended it; -1: none. The next
  // accept() goes on with it. Written with the read lock of io held. The thread that closes the listener takes it, too.
  sched::platform::atomic<int> kept{-1};

  [[nodiscard]] std::string name() const { return local.to_string(); }
};

}  // namespace baton::net
