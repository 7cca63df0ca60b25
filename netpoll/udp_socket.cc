// Making UDP sockets, and their options. udp_transfer.cc sends and receives.
#include <baton/netpoll/udp_socket.h>

#include <baton/netpoll/adopt_socket.h>
#include <baton/netpoll/bind_address.h>
#include <baton/netpoll/descriptor_owner_members.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/netpoll/socket_options.h>
#include <baton/netpoll/udp_state.h>
#include <baton/syscall/owned_fd.h>

#include <netinet/in.h>
#include <netinet/udp.h>
#include <cerrno>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

namespace baton::net {

template class descriptor_owner<udp_state>;
template class two_sided_owner<udp_state>;

namespace {

using made_state = absl::StatusOr<std::unique_ptr<udp_state>>;

// Since Linux 4.20; glibc's headers of Debian 12 and later have the name.
constexpr int ipv6_multicast_all = 29;

// By default a socket that is bound to a wildcard receives the multicasts of all groups that any process has joined.
// Kernels that do not know the option keep doing so.
void receive_joined_groups_only(int fd, bool is_ipv6) noexcept {
  (void)calls::set_option(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  if (is_ipv6) (void)calls::set_option(fd, IPPROTO_IPV6, ipv6_multicast_all, 0);
}

// Returns a result >= 0 or -errno.
long set_options(int fd, const udp_options& options, udp_state& s) noexcept {
  long r = 0;
  if (options.reuse_address) r = calls::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (r >= 0 && options.reuse_port) r = calls::set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (r >= 0 && options.broadcast) r = calls::set_option(fd, SOL_SOCKET, SO_BROADCAST, 1);
  if (r >= 0 && s.is_ipv6) r = calls::set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0);
  if (r >= 0 && options.gro) {
    r = calls::set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
    s.joins = r >= 0;
    if (r == -ENOPROTOOPT) r = 0;
  }
  s.is_v6_only = s.is_ipv6 && options.v6_only;
  return r;
}

// Makes a socket that is bound to `local` and connected to `remote`, each unless it names nothing.
made_state make(const char* operation, const address& local, const address& remote, const udp_options& options) try {
  const address& object = remote.is_ip() ? remote : local;
  const auto failed = [&](long answer) {
    return errno_status(static_cast<int>(-answer), operation, object.to_string());
  };
  auto s = std::make_unique<udp_state>();
  s->is_ipv6 = object.kind() == address::family::ipv6;
  const long number = calls::open_socket(s->is_ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM);
  if (number < 0) return failed(number);
  sys::owned_fd fd(static_cast<int>(number));
  long r = set_options(fd.get(), options, *s);
  if (r >= 0) receive_joined_groups_only(fd.get(), s->is_ipv6);
  if (r >= 0 && local.is_ip()) r = calls::bind(fd.get(), local);
  if (r >= 0 && remote.is_ip()) r = calls::connect(fd.get(), remote);
  if (r >= 0) r = calls::local_address(fd.get(), s->local);
  if (r >= 0 && remote.is_ip()) r = calls::remote_address(fd.get(), s->remote);
  if (r >= 0) r = -s->io.attach(fd);
  if (r < 0) return failed(r);
  return s;
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, operation, udp_state::kind);
}

// Returns the address that connect() sends from; it names nothing if there is none. INVALID_ARGUMENT: no IP address.
absl::StatusOr<address> local_of(const udp_options& options, const std::string& target) {
  if (options.local.empty()) return address{};
  absl::StatusOr<address> local = address::parse(options.local);
  if (!local.ok() || local->is_ip()) return local;
  return absl::InvalidArgumentError(
      describe("connect", target, "the local address " + options.local + " is not an IP address"));
}

}  // namespace

absl::StatusOr<udp_socket> udp_socket::bind(const std::string& text, udp_options options) {
  if (!options.local.empty()) {
    return absl::InvalidArgumentError(describe("bind", text, "udp_options::local is for connect()"));
  }
  const wait_limits limits{options.timeout.deadline_ns(), options.ctx.get()};
  return bind_to_text(text, options.v6_only, limits, [&options](const address& to) -> absl::StatusOr<udp_socket> {
    made_state s = make("bind", to, {}, options);
    if (!s.ok()) return s.status();
    return udp_socket(*std::move(s));
  });
}

absl::StatusOr<udp_socket> udp_socket::connect(const std::string& text, udp_options options) {
  const absl::StatusOr<address> local = local_of(options, text);
  if (!local.ok()) return local.status();
  const absl::StatusOr<host_and_port> where = split_host_port(text);
  if (!where.ok()) return where.status();
  const absl::StatusOr<address> number = address::from_ip(where->host, 0);
  if (local->is_ip() && number.ok() && number->kind() != local->kind()) {
    return absl::InvalidArgumentError(describe("connect", text, "not possible from " + options.local));
  }
  const wait_limits limits{options.timeout.deadline_ns(), options.ctx.get()};
  const absl::StatusOr<std::vector<address>> all = resolve_host_port(nullptr, *where, local->kind(), limits);
  if (!all.ok()) return all.status();
  absl::Status first;
  for (const address& to : *all) {
    made_state s = make("connect", *local, to, options);
    if (s.ok()) return udp_socket(*std::move(s));
    if (first.ok()) first = s.status();
  }
  return first;
}

absl::StatusOr<udp_socket> udp_socket::adopt(int fd) try {
  auto s = std::make_unique<udp_state>();
  constexpr socket_kind wanted{socket_kind::family::ip, SOCK_DGRAM, false};
  int domain = 0;
  int v6_only = 0;
  int joins = 0;
  (void)calls::get_option(fd, SOL_SOCKET, SO_DOMAIN, domain);
  s->is_ipv6 = domain == AF_INET6;
  s->is_v6_only = s->is_ipv6 && calls::get_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6_only) >= 0 && v6_only != 0;
  s->joins = calls::get_option(fd, IPPROTO_UDP, UDP_GRO, joins) >= 0 && joins != 0;
  if (const int error = adopt_socket(fd, wanted, s->io, s->local, s->remote)) {
    return errno_status(error, "adopt", udp_state::kind);
  }
  return udp_socket(std::move(s));
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "adopt", udp_state::kind);
}

namespace {

// The interface that a text or a group's zone means; 0: the kernel's choice. ENODEV if there is no such interface.
absl::StatusOr<std::uint32_t> interface_of(const std::string& name, const address* group, const char* operation) {
  if (!name.empty()) {
    const std::uint32_t number = interface_number(name);
    if (number == 0) return errno_status(ENODEV, operation, "interface " + name);
    return number;
  }
  if (group == nullptr || group->kind() != address::family::ipv6) return 0U;
  sockaddr_storage sa;
  (void)group->to_sockaddr(sa);
  return reinterpret_cast<const sockaddr_in6&>(sa).sin6_scope_id;
}

absl::Status change_membership(udp_state* s, const char* operation, int option, const address& group,
                               const std::string& interface_name) {
  if (s == nullptr) return not_open(operation, udp_state::kind);
  if (!group.is_multicast()) {
    return absl::InvalidArgumentError(describe(operation, group.to_string(), "not a multicast address"));
  }
  const absl::StatusOr<std::uint32_t> number = interface_of(interface_name, &group, operation);
  if (!number.ok()) return number.status();
  group_req request{};
  request.gr_interface = *number;
  (void)group.to_sockaddr(request.gr_group);
  const int level = group.kind() == address::family::ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
  const long answer =
      s->io.with_fd([&](int fd) { return calls::set_option(fd, level, option, &request, sizeof request); });
  if (answer >= 0 || answer == -EBADF) return option_status(*s, answer, operation);
  return errno_status(static_cast<int>(-answer), operation, group.to_string());
}

// Sets an option of IPv4 and its namesake of IPv6, as far as the socket has them.
absl::Status set_for_families(udp_state* s, const char* operation, int option_v4, int option_v6, int value) {
  if (s == nullptr) return not_open(operation, udp_state::kind);
  const long answer = s->io.with_fd([&](int fd) {
    long r = s->is_v6_only ? 0 : calls::set_option(fd, IPPROTO_IP, option_v4, value);
    if (r >= 0 && s->is_ipv6) r = calls::set_option(fd, IPPROTO_IPV6, option_v6, value);
    return r;
  });
  return option_status(*s, answer, operation);
}

absl::Status set_of_socket(udp_state* s, const char* operation, int option, int value) {
  if (s == nullptr) return not_open(operation, udp_state::kind);
  return option_status(*s, s->io.with_fd([&](int fd) { return calls::set_option(fd, SOL_SOCKET, option, value); }),
                       operation);
}

}  // namespace

absl::Status udp_socket::join_group(const address& group, const std::string& interface_name) {
  return change_membership(state_.get(), "join group", MCAST_JOIN_GROUP, group, interface_name);
}

absl::Status udp_socket::leave_group(const address& group, const std::string& interface_name) {
  return change_membership(state_.get(), "leave group", MCAST_LEAVE_GROUP, group, interface_name);
}

absl::Status udp_socket::set_multicast_loop(bool on) {
  return set_for_families(state_.get(), "set multicast loop", IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, on ? 1 : 0);
}

absl::Status udp_socket::set_multicast_ttl(int hops) {
  if (hops < 0 || hops > 255) {
    return absl::InvalidArgumentError(
        describe("set multicast ttl", std::to_string(hops), "a number of hops is 0 to 255"));
  }
  return set_for_families(state_.get(), "set multicast ttl", IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, hops);
}

absl::Status udp_socket::set_multicast_interface(const std::string& interface_name) {
  constexpr const char* operation = "set multicast interface";
  udp_state* const s = state_.get();
  if (s == nullptr) return not_open(operation, udp_state::kind);
  const absl::StatusOr<std::uint32_t> number = interface_of(interface_name, nullptr, operation);
  if (!number.ok()) return number.status();
  ip_mreqn request{};
  request.imr_ifindex = static_cast<int>(*number);
  const long answer = s->io.with_fd([&](int fd) {
    long r = s->is_v6_only ? 0 : calls::set_option(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request);
    if (r >= 0 && s->is_ipv6) r = calls::set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, request.imr_ifindex);
    return r;
  });
  return option_status(*s, answer, operation);
}

absl::Status udp_socket::set_broadcast(bool on) {
  return set_of_socket(state_.get(), "set broadcast", SO_BROADCAST, on ? 1 : 0);
}

absl::Status udp_socket::set_receive_buffer(int bytes) {
  return set_of_socket(state_.get(), "set receive buffer", SO_RCVBUF, bytes);
}

absl::Status udp_socket::set_send_buffer(int bytes) {
  return set_of_socket(state_.get(), "set send buffer", SO_SNDBUF, bytes);
}

address udp_socket::local_address() const { return state_ == nullptr ? address{} : state_->local; }
address udp_socket::remote_address() const { return state_ == nullptr ? address{} : state_->remote; }

}  // namespace baton::net
