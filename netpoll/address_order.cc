// RFC 6724, section 6. The rules about deprecated and home addresses (3, 4) and about tunnels (7) need facts about the
// chosen source address that the kernel does not report with it; only glibc asks netlink for them.
#include <baton/netpoll/address_order.h>

#include <baton/netpoll/socket_calls.h>
#include <baton/syscall/owned_fd.h>

#include <netinet/in.h>
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

namespace baton::net {

namespace {

// Each costs four system calls. No program tries more.
constexpr std::size_t sorted_max = 100;

using ip_bytes = std::array<unsigned char, 16>;

// IPv4 addresses in their IPv6 form.
ip_bytes bytes_of(const address& a) noexcept {
  ip_bytes ip{};
  sockaddr_storage sa;
  (void)a.to_sockaddr(sa);
  if (a.kind() == address::family::ipv4) {
    ip[10] = ip[11] = 0xff;
    sockaddr_in in;
    std::memcpy(&in, &sa, sizeof in);
    std::memcpy(ip.data() + 12, &in.sin_addr, 4);
  } else {
    sockaddr_in6 in;
    std::memcpy(&in, &sa, sizeof in);
    std::memcpy(ip.data(), &in.sin6_addr, 16);
  }
  return ip;
}

// The policy table of section 2.1. The first prefix that fits is the longest.
struct policy {
  ip_bytes prefix;
  int bits;
  int precedence;
  int label;
};
constexpr policy policies[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, 50, 0},       // ::1
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, 96, 35, 4},  // IPv4
    {{}, 96, 1, 3},                                                       // ::/96, compatible with IPv4
    {{0x20, 0x01}, 32, 5, 5},                                             // Teredo
    {{0x20, 0x02}, 16, 30, 2},                                            // 6to4
    {{0x3f, 0xfe}, 16, 1, 12},                                            // 6bone
    {{0xfe, 0xc0}, 10, 1, 11},                                            // site-local
    {{0xfc}, 7, 3, 13},                                                   // unique local
    {{}, 0, 40, 1},
};

int common_bits(const ip_bytes& a, const ip_bytes& b) noexcept {
  int bits = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto differs = static_cast<unsigned char>(a[i] ^ b[i]);
    if (differs == 0) {
      bits += 8;
      continue;
    }
    return bits + __builtin_clz(differs) - 24;
  }
  return bits;
}

const policy& policy_of(const ip_bytes& ip) noexcept {
  return *std::find_if(std::begin(policies), std::end(policies),
                       [&ip](const policy& p) { return common_bits(ip, p.prefix) >= p.bits; });
}

// Section 3.1. Smaller is nearer.
int scope_of(const ip_bytes& ip, bool is_v4) noexcept {
  constexpr int link_local = 2;
  constexpr int site_local = 5;
  constexpr int global = 14;
  if (is_v4) return ip[12] == 127 || (ip[12] == 169 && ip[13] == 254) ? link_local : global;
  if (ip[0] == 0xff) return ip[1] & 0x0f;
  const bool is_loopback = std::all_of(ip.begin(), ip.end() - 1, [](unsigned char b) { return b == 0; }) && ip[15] == 1;
  if (is_loopback || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)) return link_local;
  if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0xc0) return site_local;
  return global;
}

struct traits {
  explicit traits(const reached_address& a) noexcept
      : is_v4(a.to.kind() == address::family::ipv4),
        reachable(a.from.is_ip()),
        to(bytes_of(a.to)),
        from(reachable ? bytes_of(a.from) : ip_bytes{}),
        scope(scope_of(to, is_v4)) {}

  bool is_v4;
  bool reachable;
  ip_bytes to;
  ip_bytes from;
  int scope;

  [[nodiscard]] bool scope_matches() const noexcept { return scope == scope_of(from, is_v4); }
  [[nodiscard]] bool label_matches() const noexcept { return policy_of(to).label == policy_of(from).label; }
};

// Returns the address from which the kernel would send to `to`. A UDP socket's connect(2) sends nothing.
address source_for(const address& to) {
  address from;
  const long number = calls::open_socket(to.kind() == address::family::ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM);
  if (number < 0) return from;
  const sys::owned_fd fd(static_cast<int>(number));
  constexpr int any_port = 53;
  if (calls::connect(fd.get(), to.with_port(any_port)) < 0 || calls::local_address(fd.get(), from) < 0) return {};
  return from;
}

}  // namespace

bool goes_before(const reached_address& first, const reached_address& second) noexcept {
  const traits a(first);
  const traits b(second);
  if (a.reachable != b.reachable) return a.reachable;  // rule 1
  if (!a.reachable) return false;
  if (a.scope_matches() != b.scope_matches()) return a.scope_matches();  // rule 2
  if (a.label_matches() != b.label_matches()) return a.label_matches();  // rule 5
  const int more = policy_of(a.to).precedence - policy_of(b.to).precedence;
  if (more != 0) return more > 0;                    // rule 6
  if (a.scope != b.scope) return a.scope < b.scope;  // rule 8
  if (a.is_v4 || b.is_v4) return false;              // rule 9 would undo the round robin of servers
  constexpr int prefix_max = 64;                     // of an interface
  return std::min(common_bits(a.to, a.from), prefix_max) > std::min(common_bits(b.to, b.from), prefix_max);
}

void order_addresses(std::vector<address>& all) {
  std::vector<reached_address> reached;
  reached.reserve(all.size());
  for (const address& a : all) {
    if (std::none_of(reached.begin(), reached.end(), [&a](const reached_address& r) { return r.to == a; })) {
      reached.push_back({a, {}});
    }
  }
  if (reached.size() > 1 && reached.size() <= sorted_max) {
    for (reached_address& r : reached) r.from = source_for(r.to);
    std::stable_sort(reached.begin(), reached.end(), goes_before);
  }
  all.clear();
  for (reached_address& r : reached) all.push_back(std::move(r.to));
}

}  // namespace baton::net
