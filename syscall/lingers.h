// Tells whether closing a descriptor may wait for the peer. Internal to syscall/ and netpoll/.
#pragma once

#include <baton/syscall/raw_syscall.h>

#include <sys/socket.h>
#include <sys/syscall.h>

namespace baton::sys::detail {

// Returns true for a socket with SO_LINGER, whose close waits until the sent data has arrived. Returns false if fd is
// not a socket.
inline bool lingers(int fd) noexcept {
  ::linger l{};
  ::socklen_t size = sizeof l;
  return raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_LINGER, &l, &size).has_value() && l.l_onoff != 0 &&
         l.l_linger > 0;
}

}  // namespace baton::sys::detail
