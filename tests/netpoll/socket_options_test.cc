// Options of TCP sockets, including those that are set before the socket is bound or connected.
#include "net_test_support.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <cerrno>
#include <functional>

namespace baton::net::test {
namespace {

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &size), 0);
  return value;
}

TEST(Options, LingerZeroResetsTheConnection) {
  run([] {
    connection c = connect();
    EXPECT_TRUE(c.client.set_linger(0s).ok());
    c.client.close();
    char byte = 0;
    EXPECT_EQ(errno_of(c.server.read({&byte, 1}).status()), ECONNRESET);
    EXPECT_TRUE(absl::IsCancelled(c.client.set_linger(1s)));
    EXPECT_TRUE(absl::IsFailedPrecondition(tcp_stream().set_linger(1s)));
  });
}

TEST(Options, LingerIsSetInWholeSecondsAndTakenBack) {
  run([] {
    connection c = connect();
    const auto now = [&] {
      ::linger l{};
      socklen_t size = sizeof l;
      EXPECT_EQ(::getsockopt(c.client.native_handle(), SOL_SOCKET, SO_LINGER, &l, &size), 0);
      return l.l_onoff == 0 ? -1 : l.l_linger;
    };
    EXPECT_TRUE(c.client.set_linger(1500ms).ok());
    EXPECT_EQ(now(), 2);
    EXPECT_TRUE(c.client.set_linger(-1s).ok());
    EXPECT_EQ(now(), -1);
  });
}

TEST(Options, BeforeBindAndConnect) {
  run([] {
    static constexpr int size = 32 * 1024;
    int set_on = -1;
    const std::function<absl::Status(int)> small_buffers = [&set_on](int fd) -> absl::Status {
      set_on = fd;
      return ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0 ? absl::OkStatus()
                                                                              : absl::InternalError("setsockopt");
    };
    tcp_listener l = listen("127.0.0.1:0", {.defer_accept = 1500ms, .fast_open = 16, .control = small_buffers});
    EXPECT_EQ(set_on, l.native_handle());
    EXPECT_EQ(option(set_on, SOL_SOCKET, SO_RCVBUF), 2 * size);
    EXPECT_GE(option(set_on, IPPROTO_TCP, TCP_DEFER_ACCEPT), 2);
    EXPECT_EQ(option(set_on, IPPROTO_TCP, TCP_FASTOPEN), 16);

    tcp_stream client = must(dial(l.local_address().to_string(), {.local = "127.0.0.1:0", .control = small_buffers}));
    EXPECT_EQ(set_on, client.native_handle());
    EXPECT_EQ(option(set_on, SOL_SOCKET, SO_RCVBUF), 2 * size);
    EXPECT_EQ(option(set_on, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 1);

    const std::function<absl::Status(int)> refuse = [](int) { return absl::PermissionDeniedError("not this one"); };
    EXPECT_TRUE(absl::IsPermissionDenied(tcp_listener::bind("127.0.0.1:0", {.control = refuse}).status()));
    EXPECT_TRUE(absl::IsPermissionDenied(dial(l.local_address().to_string(), {.control = refuse}).status()));
  });
}

TEST(Options, ConnectionsAreProbedUnlessToldOtherwise) {
  run([] {
    tcp_listener l = listen();
    connection c = connect(l);
    for (const tcp_stream* s : {&c.client, &c.server}) {
      EXPECT_EQ(option(s->native_handle(), SOL_SOCKET, SO_KEEPALIVE), 1);
      EXPECT_EQ(option(s->native_handle(), IPPROTO_TCP, TCP_KEEPIDLE), 15);
      EXPECT_EQ(option(s->native_handle(), IPPROTO_TCP, TCP_KEEPINTVL), 15);
    }
    tcp_listener silent = listen("127.0.0.1:0", {.keep_alive = 0s});
    tcp_stream client = must(dial(silent.local_address().to_string(), {.keep_alive = 0s}));
    tcp_stream server = must(silent.accept());
    EXPECT_EQ(option(client.native_handle(), SOL_SOCKET, SO_KEEPALIVE), 0);
    EXPECT_EQ(option(server.native_handle(), SOL_SOCKET, SO_KEEPALIVE), 0);
  });
}

TEST(Options, AListenerThatDefersWaitsForTheFirstData) {
  run([] {
    tcp_listener l = listen("127.0.0.1:0", {.defer_accept = 1h});
    tcp_stream silent = must(dial(l.local_address().to_string()));
    tcp_stream speaks = must(dial(l.local_address().to_string()));
    EXPECT_TRUE(speaks.write("x").ok());
    tcp_stream server = must(l.accept());
    EXPECT_EQ(server.remote_address(), speaks.local_address());
  });
}

}  // namespace
}  // namespace baton::net::test
