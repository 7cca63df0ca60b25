// What adopt() of sockets does. Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor.h>

#include <cstdint>

namespace baton::net {

struct socket_kind {
  enum class family : std::uint8_t { ip, local };
  family domain;
  int type;  // SOCK_STREAM …
  bool listens;
};

// Takes over a socket of that kind into parts of a state, and sets O_NONBLOCK. Stores its addresses as the kernel
// reports them. `remote` names nothing if the socket is not connected. Returns 0 or an errno: EBADF, ENOTSOCK,
// EPROTOTYPE if it is of another kind, EINVAL if it listens and should not or the other way round, ENOTCONN if a stream
// is not connected, or what descriptor::attach() gives. The descriptor then still belongs to the caller. Never
// switches.
[[nodiscard]] int adopt_socket(int fd, const socket_kind& wanted, descriptor& io, address& local, address& remote,
                               descriptor::short_reads reads = descriptor::short_reads::mean_nothing);

}  // namespace baton::net
