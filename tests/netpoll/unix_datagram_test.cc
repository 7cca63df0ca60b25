// Unix datagrams: names, waiting for room, receivers that vanish, what ends a wait.
#include "blocked_calls.h"
#include "failing_calls.h"
#include "temporary_directory.h"

#include <baton/netpoll/unix_datagram.h>
#include <baton/netpoll/unix_listener.h>

#include <sys/socket.h>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace baton::net::test {
namespace {

address at(const std::string& path) { return must(address::from_path(path)); }

TEST(UnixDatagram, SendsAndReceivesByName) {
  run([] {
    temporary_directory dir;
    unix_datagram server = must(unix_datagram::bind(dir / "server"));
    unix_datagram client = must(unix_datagram::connect(dir / "server", {.local = dir / "client"}));
    unix_datagram nameless = must(unix_datagram::connect(dir / "server"));
    EXPECT_EQ(client.remote_address().path(), dir / "server");
    EXPECT_EQ(client.local_address().path(), dir / "client");
    must(client.send("hello"));
    char buffer[10];
    const datagram d = must(server.receive_from(buffer));
    EXPECT_EQ(std::string(buffer, d.size), "hello");
    EXPECT_EQ(d.from.path(), dir / "client");
    must(server.send_to("back", d.from));
    EXPECT_EQ(must(client.receive(buffer)), 4u);
    must(nameless.send("x"));
    EXPECT_EQ(must(server.receive_from(buffer)).from, address());
    EXPECT_EQ(errno_of(server.send("x").status()), ENOTCONN);
    EXPECT_EQ(errno_of(server.send_to("x", address()).status()), EDESTADDRREQ);
    EXPECT_EQ(errno_of(server.send_to("x", must(address::parse("127.0.0.1:1"))).status()), EAFNOSUPPORT);
    EXPECT_EQ(errno_of(server.send_to("x", at(dir / "nobody")).status()), ENOENT);
    client.close();
    EXPECT_FALSE(dir.has("client"));
    const absl::Status s = server.send_to("x", d.from).status();
    EXPECT_EQ(errno_of(s), ENOENT) << s;
    EXPECT_EQ(s.message().find("send " + (dir / "server") + "->" + (dir / "client") + ": "), 0u) << s;
    server.close();
    EXPECT_FALSE(dir.has("server"));
    EXPECT_EQ(errno_of(nameless.send("x").status()), ECONNREFUSED);
    EXPECT_EQ(errno_of(unix_datagram::connect(dir / "server").status()), ENOENT);
    EXPECT_EQ(errno_of(unix_datagram::connect(dir / "server", {.local = dir / "c"}).status()), ENOENT);
    EXPECT_FALSE(dir.has("c"));
    EXPECT_EQ(unix_datagram::bind(dir / "s", {.local = "x"}).status().code(), absl::StatusCode::kInvalidArgument);
  });
}

TEST(UnixDatagram, TheKernelChoosesAName) {
  run([] {
    temporary_directory dir;
    unix_datagram server = must(unix_datagram::bind(dir / "server"));
    unix_datagram client = must(unix_datagram::connect(dir / "server", {.local = "@"}));
    must(client.send("x"));
    char buffer[10];
    const datagram d = must(server.receive_from(buffer));
    EXPECT_EQ(d.from, client.local_address());
    EXPECT_EQ(d.from.path().front(), '@');
    must(server.send_to("back", d.from));
    EXPECT_EQ(must(client.receive(buffer)), 4u);
  });
}

TEST(UnixDatagram, EmptyAndCutOff) {
  run([] {
    auto [a, b] = must(unix_datagram::pair());
    EXPECT_EQ(must(a.send("")), 0u);
    must(a.send("0123456789"));
    must(a.send("0123456789"));
    must(a.send("last"));
    char buffer[4];
    EXPECT_EQ(must(b.receive(buffer)), 0u);
    const datagram d = must(b.receive_from(buffer));
    EXPECT_TRUE(d.truncated);
    EXPECT_EQ(d.size, 4u);
    EXPECT_EQ(errno_of(b.receive(buffer).status()), EMSGSIZE);
    EXPECT_EQ(must(b.receive(buffer)), 4u);
    const int size = 4096;
    ::setsockopt(a.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    EXPECT_EQ(errno_of(a.send(std::string(1 << 20, 'x')).status()), EMSGSIZE);
  });
}

// A sender waits while the receiver has too many: by an edge if it is connected, else by trying again. None is lost.
TEST(UnixDatagram, SendersWaitForRoom) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          temporary_directory dir;
          unix_datagram server = must(unix_datagram::bind(dir / "server"));
          constexpr int each = 300;
          std::vector<fiber<void>> senders;
          for (int k = 0; k < 4; ++k) {
            senders.push_back(spawn([&, k] {
              unix_datagram s = k % 2 == 0 ? must(unix_datagram::connect(dir / "server"))
                                           : must(unix_datagram::bind(dir / ("c" + std::to_string(k))));
              for (int i = 0; i < each; ++i) {
                const std::string text = std::to_string(k) + "/" + std::to_string(i);
                if (k % 2 == 0) must(s.send(text));
                if (k % 2 == 1) must(s.send_to(text, server.local_address()));
              }
            }));
          }
          int next[4] = {};
          for (int i = 0; i < 4 * each; ++i) {
            char buffer[20];
            const std::string text(buffer, must(server.receive(buffer)));
            int& n = next[text[0] - '0'];
            EXPECT_EQ(text.substr(2), std::to_string(n++));  // in order
          }
          for (auto& s : senders) s.join();
        },
        {.procs = procs_now});
  }
}

// Sends until the receiver has too many.
template <class Send>
absl::Status fill(Send send) {
  for (;;) {
    const absl::StatusOr<std::size_t> sent = send();
    if (!sent.ok()) return sent.status();
  }
}

TEST(UnixDatagram, EverythingEndsAReceiveAndASend) {
  run([] {
    temporary_directory dir;
    struct made {
      unix_datagram socket;
      unix_datagram peer;
    };
    const auto connected = [&] {
      made m;
      m.peer = must(unix_datagram::bind(dir / "server"));
      m.socket = must(unix_datagram::connect(dir / "server"));
      return m;
    };
    char buffer[10];
    expect_everything_ends(poll_side::read, connected, [&](unix_datagram& s) { return s.receive(buffer).status(); });
    expect_close_ends(poll_side::read, connected, [&](unix_datagram& s) { return s.receive_from(buffer).status(); });
    expect_everything_ends(poll_side::write, connected,
                           [](unix_datagram& s) { return fill([&] { return s.send("x"); }); });
    const address to = at(dir / "server");
    const auto unconnected = [&] {
      made m;
      m.peer = must(unix_datagram::bind(dir / "server"));
      m.socket = must(unix_datagram::bind(dir / "client"));
      return m;
    };
    expect_everything_ends(poll_side::write, unconnected,
                           [&](unix_datagram& s) { return fill([&] { return s.send_to("x", to); }); });
    EXPECT_FALSE(dir.has("server") || dir.has("client"));
  });
}

// The receiver vanishes while a sender waits for room.
TEST(UnixDatagram, AReceiverThatVanishesEndsASend) {
  run([] {
    temporary_directory dir;
    for (const bool is_connected : {true, false}) {
      unix_datagram server = must(unix_datagram::bind(dir / "server"));
      unix_datagram client =
          is_connected ? must(unix_datagram::connect(dir / "server")) : must(unix_datagram::bind(dir / "client"));
      const address to = server.local_address();
      auto sends =
          spawn([&] { return fill([&] { return is_connected ? client.send("x") : client.send_to("x", to); }); });
      until_writer_waits(client);
      server.close();
      const int error = errno_of(sends.join());
      EXPECT_TRUE(error == ECONNREFUSED || error == ENOENT || error == ECONNRESET) << error;
    }
  });
}

TEST(UnixDatagram, AStaleFileIsReplacedOnlyIfAsked) {
  run([] {
    temporary_directory dir;
    const std::string path = dir / "s";
    { unix_datagram left = must(unix_datagram::bind(path, {.unlink_at_close = false})); }
    ASSERT_TRUE(dir.has("s"));
    EXPECT_EQ(errno_of(unix_datagram::bind(path).status()), EADDRINUSE);
    unix_datagram s = must(unix_datagram::bind(path, {.replace_stale = true}));
    EXPECT_EQ(errno_of(unix_datagram::bind(path, {.replace_stale = true}).status()), EADDRINUSE);
    EXPECT_EQ(errno_of(unix_listener::bind(path, {.replace_stale = true}).status()), EADDRINUSE);
    must(s.send_to("x", at(path)));  // to itself
    char buffer[2];
    EXPECT_EQ(must(s.receive(buffer)), 1u);
  });
}

TEST(UnixDatagram, ErrorsOfTheKernelComeOut) {
  run([] {
    with_failing_calls({SYS_recvfrom, SYS_sendto, SYS_socket, SYS_bind, SYS_connect}, [] {
      temporary_directory dir;
      unix_datagram server = must(unix_datagram::bind(dir / "server"));
      unix_datagram client = must(unix_datagram::connect(dir / "server"));
      const int before = open_descriptors();
      char buffer[10];
      for (const int error : {ECONNREFUSED, ECONNRESET, ENOMEM, ENOBUFS, EACCES, EPERM, ENOENT, ELOOP, ENOTDIR}) {
        const auto expect = [error](long call, const absl::Status& s) {
          EXPECT_EQ(errno_of(s), error) << call << " " << s;
          EXPECT_EQ(failing_calls::left(), 0);
        };
        failing_calls::fail(SYS_recvfrom, error);
        expect(SYS_recvfrom, server.receive(buffer).status());
        failing_calls::fail(SYS_sendto, error);
        expect(SYS_sendto, client.send("x").status());
        failing_calls::fail(SYS_sendto, error);
        expect(SYS_sendto, server.send_to("x", at(dir / "server")).status());
        for (const long call : {SYS_socket, SYS_bind, SYS_connect}) {
          failing_calls::fail(call, error);
          expect(call, unix_datagram::connect(dir / "server", {.local = dir / "c"}).status());
          EXPECT_FALSE(dir.has("c"));
        }
      }
      EXPECT_EQ(open_descriptors(), before);
    });
  });
}

TEST(UnixDatagram, NotOpenIsAnErrorOfEachCall) {
  run([] {
    unix_datagram s;
    char buffer[1];
    for (const absl::Status& e :
         {s.send("x").status(), s.send_to("x", at("x")).status(), s.receive(buffer).status(),
          s.receive_from(buffer).status(), s.send_fd(0), s.receive_fd().status(), s.credentials().status()}) {
      EXPECT_EQ(e.code(), absl::StatusCode::kFailedPrecondition) << e;
    }
    unix_datagram bound = must(unix_datagram::bind("@"));
    EXPECT_EQ(bound.credentials().status().code(), absl::StatusCode::kFailedPrecondition);
  });
}

}  // namespace
}  // namespace baton::net::test
