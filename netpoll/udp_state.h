// What a udp_socket owns. Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor.h>
#include <baton/sched/platform/atomic.h>

#include <string>
#include <string_view>

namespace baton::net {

struct udp_state {
  static constexpr std::string_view kind = "udp socket";

  descriptor io;
  // Written before the user gets the socket.
  address local;
  address remote;  // names nothing unless the socket is connected
  bool is_ipv6 = false;
  bool is_v6_only = false;
  bool joins = false;  // UDP_GRO is on

  // False once the device has refused UDP_SEGMENT. A hint.
  sched::platform::atomic<bool> segments{true};
  // How many datagrams receive_many() asks the kernel for. Guarded by the read lock.
  unsigned receive_at_once = 8;

  [[nodiscard]] std::string name() const { return remote.is_ip() ? name_to(remote) : local.to_string(); }
  [[nodiscard]] std::string name_to(const address& to) const { return local.to_string() + "->" + to.to_string(); }
};

}  // namespace baton::net
