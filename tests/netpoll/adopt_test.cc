// Taking over descriptors, and giving them back.
#include "net_test_support.h"

#include <baton/netpoll/net.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <string>
#include <utility>

namespace baton::net::test {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

struct sockets_of_each_kind {
  sys::owned_fd file{::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
  sys::owned_fd tcp{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sys::owned_fd tcp_listening{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sys::owned_fd udp{::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  sys::owned_fd unix_dgram{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  sys::owned_fd stream[2];
  sys::owned_fd packet[2];

  sockets_of_each_kind() {
    int fds[2];
    ::listen(tcp_listening.get(), 1);
    ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    stream[0].reset(fds[0]);
    stream[1].reset(fds[1]);
    ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
    packet[0].reset(fds[0]);
    packet[1].reset(fds[1]);
  }
};

template <class Socket>
void expect_error(const sys::owned_fd& fd, int error) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  const absl::Status s = Socket::adopt(fd.get()).status();
  EXPECT_EQ(errno_of(s), error) << s;
  EXPECT_EQ(s.message().find("adopt "), 0u) << s;
  EXPECT_TRUE(is_open(fd.get()));                // still the caller's
  EXPECT_EQ(::fcntl(fd.get(), F_GETFL), flags);  // and as it was
}

TEST(Adopt, TakesOnlyItsOwnKindAndLeavesTheOthersAlone) {
  run([] {
    const sockets_of_each_kind s;
    expect_error<udp_socket>(s.file, ENOTSOCK);
    expect_error<udp_socket>(s.tcp, EPROTOTYPE);
    expect_error<udp_socket>(s.unix_dgram, EPROTOTYPE);
    expect_error<tcp_stream>(s.file, ENOTSOCK);
    expect_error<tcp_stream>(s.tcp, ENOTCONN);
    expect_error<tcp_stream>(s.udp, EPROTOTYPE);
    expect_error<tcp_stream>(s.stream[0], EPROTOTYPE);
    expect_error<tcp_stream>(s.tcp_listening, EINVAL);
    expect_error<tcp_listener>(s.tcp, EINVAL);
    expect_error<tcp_listener>(s.udp, EPROTOTYPE);
    expect_error<unix_stream>(s.packet[0], EPROTOTYPE);
    expect_error<unix_stream>(s.tcp, EPROTOTYPE);
    expect_error<unix_seqpacket>(s.stream[0], EPROTOTYPE);
    expect_error<unix_datagram>(s.stream[0], EPROTOTYPE);
    expect_error<unix_datagram>(s.udp, EPROTOTYPE);
    expect_error<unix_listener>(s.stream[0], EINVAL);
    expect_error<unix_seqpacket_listener>(s.packet[0], EINVAL);
    expect_error<unix_listener>(s.tcp_listening, EPROTOTYPE);
    EXPECT_EQ(errno_of(udp_socket::adopt(-1).status()), EBADF);
    EXPECT_EQ(errno_of(unix_listener::adopt(-1).status()), EBADF);
  });
}

// What release() gives, adopt() takes, and it goes on.
TEST(Adopt, TakesBackWhatReleaseGave) {
  run([] {
    udp_socket a = must(udp_socket::bind("127.0.0.1:0"));
    udp_socket b = must(udp_socket::connect(a.local_address().to_string()));
    const int number = b.native_handle();
    EXPECT_EQ(b.release(), number);
    EXPECT_FALSE(b.is_open());
    EXPECT_EQ(b.send("x").status().code(), absl::StatusCode::kCancelled);
    udp_socket c = must(udp_socket::adopt(number));
    EXPECT_EQ(c.remote_address(), a.local_address());
    must(c.send("x"));
    char buffer[10];
    EXPECT_EQ(must(a.receive_from(buffer)).from, c.local_address());

    tcp_listener l = listen();
    tcp_listener m = must(tcp_listener::adopt(l.release()));
    tcp_stream client = must(dial(m.local_address().to_string()));
    tcp_stream server = must(m.accept());
    tcp_stream adopted = must(tcp_stream::adopt(client.release()));
    EXPECT_EQ(adopted.local_address(), server.remote_address());
    EXPECT_EQ(adopted.remote_address(), m.local_address());
    must(adopted.write("x"));
    EXPECT_EQ(must(server.read(buffer)), 1u);

    auto both = must(unix_seqpacket::pair());
    unix_seqpacket packets = must(unix_seqpacket::adopt(both.first.release()));
    must(packets.send("x"));
    EXPECT_EQ(must(both.second.receive(buffer)), 1u);
    auto datagrams = must(unix_datagram::pair());
    unix_datagram taken = must(unix_datagram::adopt(datagrams.first.release()));
    must(taken.send("x"));
    EXPECT_EQ(must(datagrams.second.receive(buffer)), 1u);
  });
}

// A socket that other code has made, in blocking mode.
TEST(Adopt, MakesBlockingSocketsPark) {
  run(
      [] {
        int fds[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        unix_stream a = must(unix_stream::adopt(fds[0]));
        unix_stream b = must(unix_stream::adopt(fds[1]));
        EXPECT_NE(::fcntl(a.native_handle(), F_GETFL) & O_NONBLOCK, 0);
        auto reads = spawn([&a] {
          char buffer[1];
          return must(a.read(buffer));
        });
        until_reader_waits(a);
        must(b.write("x"));
        EXPECT_EQ(reads.join(), 1u);
      },
      {.procs = 1, .rescue = false});
}

// release() ends the calls that wait, as close() does.
TEST(Release, EndsBlockedCalls) {
  run([] {
    udp_socket s = must(udp_socket::bind("127.0.0.1:0"));
    auto receives = spawn([&s] {
      char buffer[1];
      return s.receive(buffer).status();
    });
    until_reader_waits(s);
    const sys::owned_fd number(s.release());
    EXPECT_EQ(receives.join().code(), absl::StatusCode::kCancelled);
    EXPECT_TRUE(is_open(number.get()));
    EXPECT_EQ(s.release(), -1);
  });
}

}  // namespace
}  // namespace baton::net::test
