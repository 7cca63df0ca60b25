// Look-ups of names by DNS (rows as pairs.h says). The server is a thread of this process. It answers every name at
// once, with one IPv4 and one IPv6 address.
//
//   lookup             a look-up of both families by a resolver, in a fiber. Beside it c-ares alone on the same thread:
//                      ares_getaddrinfo(), then poll(2) and ares_process_fd() until it calls back
//   lookups_at_once    100 fibers look up a name each; a look-up. Beside it c-ares with 100 look-ups under way
#define CARES_NO_DEPRECATED  // 1.34 names newer functions, which 1.18 does not have
#include "pairs.h"

#include <baton/baton.h>

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr std::int64_t lookups = 100;

// Never ends: the process does.
class server {
 public:
  static const std::string& where() {
    static const server one;
    return one.where_;
  }

 private:
  server() {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    const int room = 4 << 20;
    (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&at), size) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
      std::abort();
    }
    where_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    std::thread([fd] { serve(fd); }).detach();
  }

  static void serve(int fd) {
    constexpr std::size_t header = 12;
    std::array<unsigned char, 1024> packet{};
    for (;;) {
      sockaddr_in from{};
      socklen_t from_size = sizeof from;
      const ssize_t got = ::recvfrom(fd, packet.data(), 512, 0, reinterpret_cast<sockaddr*>(&from), &from_size);
      if (got < static_cast<ssize_t>(header) + 5) continue;
      std::size_t end = header;
      while (end < 512 && packet[end] != 0) end += std::size_t{1} + packet[end];
      const bool is_v6 = packet[end + 2] == 28;
      end += 5;
      packet[2] = 0x81;
      packet[3] = 0x80;
      packet[7] = 1;                // one answer,
      packet[10] = packet[11] = 0;  // and nothing else
      const std::array<unsigned char, 12> record = {0xc0, 0x0c, 0, static_cast<unsigned char>(is_v6 ? 28 : 1),
                                                    0,    1,    0, 0,
                                                    0,    0,    0, static_cast<unsigned char>(is_v6 ? 16 : 4)};
      std::memcpy(&packet[end], record.data(), record.size());
      end += record.size();
      const std::array<unsigned char, 16> v6 = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
      const std::array<unsigned char, 4> v4 = {192, 0, 2, 1};
      std::memcpy(&packet[end], is_v6 ? v6.data() : v4.data(), is_v6 ? v6.size() : v4.size());
      end += is_v6 ? v6.size() : v4.size();
      (void)::sendto(fd, packet.data(), end, 0, reinterpret_cast<const sockaddr*>(&from), from_size);
    }
  }

  std::string where_;
};

// A name is asked for once: newer versions of c-ares keep answers.
std::string next_name() {
  static std::uint64_t number = 0;
  return "n" + std::to_string(++number) + ".example.";
}

const baton::net::resolver& the_resolver() {
  static const auto one = baton::net::resolver::open({.servers = {server::where()}, .hosts = "", .resolv_conf = ""});
  if (!one.ok()) std::abort();
  return *one;
}

double by_baton(bool at_once) {
  const baton::net::resolver& names = the_resolver();
  const auto one = [&](const std::string& name) {
    const auto found = names.resolve(name);
    if (!found.ok() || found->size() != 2) std::abort();
  };
  const auto begin = bench::clock_type::now();
  if (at_once) {
    std::vector<baton::fiber<void>> all;
    for (std::int64_t i = 0; i < lookups; ++i) all.push_back(baton::spawn([&] { one(next_name()); }));
    for (auto& f : all) f.join();
  } else {
    for (std::int64_t i = 0; i < lookups; ++i) one(next_name());
  }
  return bench::seconds_since(begin);
}

ares_channel open_channel() {
  ares_channel c = nullptr;
  std::string files = "b";
  std::string path = "/dev/null";
  ares_options o{};
  o.lookups = files.data();
  o.resolvconf_path = path.data();
  if (::ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
      ::ares_init_options(&c, &o, ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS | ARES_OPT_RESOLVCONF) != ARES_SUCCESS ||
      ::ares_set_servers_ports_csv(c, server::where().c_str()) != ARES_SUCCESS) {
    std::abort();
  }
  return c;
}

double by_c_ares(bool at_once) {
  static ares_channel const channel = open_channel();
  static std::int64_t under_way = 0;
  const auto ask = [&] {
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    ++under_way;
    ::ares_getaddrinfo(
        channel, next_name().c_str(), nullptr, &hints,
        [](void*, int status, int, ares_addrinfo* found) {
          if (status != ARES_SUCCESS) std::abort();
          ::ares_freeaddrinfo(found);
          --under_way;
        },
        nullptr);
  };
  const auto finish = [&] {
    while (under_way > 0) {
      std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
      const int bits = ::ares_getsock(channel, sockets.data(), ARES_GETSOCK_MAXNUM);
      std::array<pollfd, ARES_GETSOCK_MAXNUM> polled{};
      nfds_t count = 0;
      for (int i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
        const bool readable = (static_cast<unsigned>(bits) >> i & 1u) != 0;
        const bool writable = (static_cast<unsigned>(bits) >> (i + ARES_GETSOCK_MAXNUM) & 1u) != 0;
        if (!readable && !writable) continue;
        polled[count++] = {sockets[static_cast<std::size_t>(i)],
                           static_cast<short>((readable ? POLLIN : 0) | (writable ? POLLOUT : 0)), 0};
      }
      timeval left{};
      const timeval* const t = ::ares_timeout(channel, nullptr, &left);
      const int ms = t == nullptr ? -1 : static_cast<int>(t->tv_sec * 1'000 + t->tv_usec / 1'000 + 1);
      if (::poll(polled.data(), count, ms) <= 0) ::ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      for (nfds_t i = 0; i < count; ++i) {
        const pollfd& p = polled[i];
        if (p.revents == 0) continue;
        ::ares_process_fd(channel, (p.revents & ~POLLOUT) != 0 ? p.fd : ARES_SOCKET_BAD,
                          (p.revents & POLLOUT) != 0 ? p.fd : ARES_SOCKET_BAD);
      }
    }
  };
  const auto begin = bench::clock_type::now();
  for (std::int64_t i = 0; i < lookups; ++i) {
    ask();
    if (!at_once) finish();
  }
  finish();
  return bench::seconds_since(begin);
}

void lookup(benchmark::State& state) {
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), lookups, [] { return by_baton(false); },
      [] { return by_c_ares(false); });
}

void lookups_at_once(benchmark::State& state) {
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), lookups, [] { return by_baton(true); }, [] { return by_c_ares(true); });
}

const bench::row rows[] = {
    {.benchmark = "lookup",
     .run = lookup,
     .args = {1},
     .name = "a look-up from the cache of the test server",
     .primitive = {"c-ares alone"},
     .target = bench::at_most_times(1.3),
     .unit = "us"},
    {.benchmark = "lookups_at_once",
     .run = lookups_at_once,
     .args = {1},
     .name = "100 look-ups at once, each",
     .primitive = {"c-ares alone"},
     .unit = "us"},
};
const bench::pairs measured("net", rows);

}  // namespace
