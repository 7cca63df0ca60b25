// UDP sockets: single datagrams, connected sockets, what ends a wait, errors.
#include "blocked_calls.h"
#include "failing_calls.h"

#include <baton/netpoll/udp_socket.h>
#include <baton/runtime/mutex.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/owned_fd.h>

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace baton::net::test {
namespace {

udp_socket bound(udp_options options = {}) { return must(udp_socket::bind("127.0.0.1:0", std::move(options))); }
udp_socket connected_to(const udp_socket& s) { return must(udp_socket::connect(s.local_address().to_string())); }

TEST(UdpSocket, SendsAndReceives) {
  run([] {
    udp_socket a = bound();
    udp_socket b = bound();
    EXPECT_GT(a.local_address().port(), 0);
    EXPECT_EQ(a.remote_address(), address());
    EXPECT_EQ(must(a.send_to("hello", b.local_address())), 5u);
    char buffer[100];
    const datagram d = must(b.receive_from(buffer));
    EXPECT_EQ(d.size, 5u);
    EXPECT_EQ(std::string(buffer, 5), "hello");
    EXPECT_EQ(d.from, a.local_address());
    EXPECT_FALSE(d.truncated);
    EXPECT_EQ(d.segment, 0u);
    must(b.send_to("and back", d.from));
    EXPECT_EQ(must(a.receive(buffer)), 8u);
  });
}

TEST(UdpSocket, ADatagramMayBeEmpty) {
  run([] {
    udp_socket a = bound();
    udp_socket b = connected_to(a);
    EXPECT_EQ(must(b.send("")), 0u);
    EXPECT_EQ(must(b.send_to("", a.local_address())), 0u);
    EXPECT_EQ(must(b.send("after")), 5u);
    char buffer[10];
    EXPECT_EQ(must(a.receive(buffer)), 0u);
    const datagram d = must(a.receive_from(buffer));
    EXPECT_EQ(d.size, 0u);
    EXPECT_EQ(d.from, b.local_address());
    EXPECT_FALSE(d.truncated);
    EXPECT_EQ(must(a.receive(buffer)), 5u);
  });
}

TEST(UdpSocket, TellsThatADatagramIsCutOff) {
  run([] {
    udp_socket a = bound();
    udp_socket b = connected_to(a);
    for (int i = 0; i < 4; ++i) must(b.send("0123456789"));
    must(b.send("next"));
    char buffer[4] = {};
    const datagram d = must(a.receive_from(buffer));
    EXPECT_TRUE(d.truncated);
    EXPECT_EQ(d.size, 4u);
    EXPECT_EQ(std::string(buffer, 4), "0123");
    const absl::Status s = a.receive(buffer).status();
    EXPECT_EQ(errno_of(s), EMSGSIZE) << s;
    incoming some[2] = {{.buffer = buffer}, {.buffer = bytes()}};
    EXPECT_EQ(must(a.receive_many(some)), 2);
    EXPECT_TRUE(some[0].truncated);
    EXPECT_EQ(some[0].size, 4u);
    EXPECT_TRUE(some[1].truncated);
    EXPECT_EQ(some[1].size, 0u);
    EXPECT_EQ(must(a.receive(buffer)), 4u);  // exactly as large
  });
}

TEST(UdpSocket, AddressesAndOptionsOfBind) {
  run([] {
    for (const char* bad : {"", "127.0.0.1", "127.0.0.1:70000", "[::1]", "127.1:0"}) {
      const absl::Status s = udp_socket::bind(bad).status();
      EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << s;
      EXPECT_FALSE(udp_socket::connect(bad).ok());
    }
    EXPECT_FALSE(udp_socket::bind(std::string("127.0.0.1\0:0", 12)).ok());
    udp_socket a = bound();
    const std::string taken = a.local_address().to_string();
    const absl::Status s = udp_socket::bind(taken).status();
    EXPECT_EQ(errno_of(s), EADDRINUSE) << s;
    EXPECT_EQ(s.message().find("bind " + taken + ": "), 0u) << s;
    udp_socket shared = bound({.reuse_port = true});
    udp_socket second = must(udp_socket::bind(shared.local_address().to_string(), {.reuse_port = true}));
    EXPECT_FALSE(udp_socket::bind("127.0.0.1:0", {.local = "127.0.0.1:0"}).ok());
    EXPECT_EQ(errno_of(udp_socket::bind("192.0.2.1:0").status()), EADDRNOTAVAIL);
  });
}

// ":0" takes IPv4 and IPv6, and each sender has its own kind of address.
TEST(UdpSocket, BothFamilies) {
  run([] {
    udp_socket all = must(udp_socket::bind(":0"));
    const int port = all.local_address().port();
    udp_socket v4 = bound();
    must(v4.send_to("four", must(address::from_ip("127.0.0.1", port))));
    char buffer[10];
    const datagram d = must(all.receive_from(buffer));
    EXPECT_EQ(d.from, v4.local_address());
    must(all.send_to("back", d.from));
    EXPECT_EQ(must(v4.receive(buffer)), 4u);
    absl::StatusOr<udp_socket> v6 = udp_socket::bind("[::1]:0");
    if (!v6.ok()) GTEST_SKIP() << "no IPv6 here";
    must(v6->send_to("six", must(address::from_ip("::1", port))));
    const datagram e = must(all.receive_from(buffer));
    EXPECT_EQ(e.from, v6->local_address());
    EXPECT_FALSE(v4.send_to("x", v6->local_address()).ok());
    udp_socket only = must(udp_socket::bind(":0", {.v6_only = true}));
    EXPECT_FALSE(only.send_to("x", v4.local_address()).ok());
  });
}

TEST(UdpSocket, AConnectedSocketHearsOnlyItsPeer) {
  run([] {
    udp_socket server = bound();
    udp_socket other = bound();
    udp_socket client = must(udp_socket::connect(server.local_address().to_string(), {.local = "127.0.0.1:0"}));
    EXPECT_EQ(client.remote_address(), server.local_address());
    EXPECT_EQ(client.local_address().ip(), "127.0.0.1");
    must(other.send_to("foreign", client.local_address()));
    must(server.send_to("mine", client.local_address()));
    char buffer[10];
    EXPECT_EQ(must(client.receive(buffer)), 4u);
    EXPECT_EQ(must(client.send("x")), 1u);
    EXPECT_EQ(must(server.receive_from(buffer)).from, client.local_address());
    EXPECT_EQ(errno_of(server.send("x").status()), EDESTADDRREQ);
    EXPECT_EQ(errno_of(server.send_to("x", address()).status()), EDESTADDRREQ);
    EXPECT_EQ(errno_of(server.send_to("x", must(address::parse("/no/ip"))).status()), EAFNOSUPPORT);
    EXPECT_EQ(udp_socket::connect("127.0.0.1:9", {.local = "[::1]:0"}).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(udp_socket::connect("127.0.0.1:9", {.local = "/a/path"}).status().code(),
              absl::StatusCode::kInvalidArgument);
    udp_socket by_name = must(udp_socket::connect("localhost:" + std::to_string(server.local_address().port())));
    must(by_name.send("named"));
  });
}

// No socket has the port: the host's answer is the error of the next call, once.
TEST(UdpSocket, APortWithoutASocketRefusesWithTheNextCall) {
  run([] {
    udp_socket gone = bound();
    udp_socket client = connected_to(gone);
    const std::string where = gone.local_address().to_string();
    gone.close();
    char buffer[10];
    for (int i = 0; i < 3; ++i) {
      must(client.send("anyone?"));
      const absl::Status s = i == 0   ? client.receive(buffer).status()
                             : i == 1 ? client.send("again").status()
                                      : [&] {
                                          incoming one[1] = {{.buffer = buffer}};
                                          return client.receive_many(one).status();
                                        }();
      EXPECT_EQ(errno_of(s), ECONNREFUSED) << i << s;
      EXPECT_NE(s.message().find("->" + where + ": "), absl::string_view::npos) << s;
    }
    auto waits = spawn([&] { return client.receive(buffer).status(); });
    until_reader_waits(client);
    must(client.send("anyone?"));
    EXPECT_EQ(errno_of(waits.join()), ECONNREFUSED);
    udp_socket back = must(udp_socket::bind(where));  // the peer comes back: it goes on
    must(client.send("welcome"));
    EXPECT_EQ(must(back.receive(buffer)), 7u);
    udp_socket unconnected = bound();
    back.close();
    must(unconnected.send_to("x", must(address::parse(where))));
    must(unconnected.send_to("x", must(address::parse(where))));
  });
}

TEST(UdpSocket, TooLargeIsAnErrorAndNothingIsSent) {
  run([] {
    udp_socket a = bound();
    udp_socket b = connected_to(a);
    const std::string large(70'000, 'x');
    EXPECT_EQ(errno_of(b.send(large).status()), EMSGSIZE);
    EXPECT_EQ(errno_of(b.send_to(large, a.local_address()).status()), EMSGSIZE);
    const outgoing many[] = {{.data = large}};
    EXPECT_EQ(errno_of(b.send_many(many).status()), EMSGSIZE);
    const std::string largest(65'507, 'y');
    EXPECT_EQ(must(b.send(largest)), largest.size());
    std::string buffer(70'000, '\0');
    EXPECT_EQ(must(a.receive(buffer)), largest.size());
  });
}

TEST(UdpSocket, BroadcastNeedsTheOption) {
  run([] {
    udp_socket receiver = must(udp_socket::bind("0.0.0.0:0"));
    const address all = must(address::from_ip("127.255.255.255", receiver.local_address().port()));
    udp_socket sender = must(udp_socket::bind("0.0.0.0:0"));
    EXPECT_EQ(errno_of(sender.send_to("x", all).status()), EACCES);
    ASSERT_TRUE(sender.set_broadcast(true).ok());
    must(sender.send_to("all", all));
    char buffer[10];
    EXPECT_EQ(must(receiver.receive(buffer)), 3u);
    EXPECT_TRUE(sender.set_broadcast(false).ok());
    EXPECT_EQ(errno_of(sender.send_to("x", all).status()), EACCES);
    udp_socket second = must(udp_socket::bind("0.0.0.0:0", {.broadcast = true}));
    must(second.send_to("all", all));
  });
}

TEST(UdpSocket, BuffersAreWhatIsAskedFor) {
  run([] {
    udp_socket s = bound();
    const auto kept = [&s](int option) {
      int size = 0;
      socklen_t length = sizeof size;
      ::getsockopt(s.native_handle(), SOL_SOCKET, option, &size, &length);
      return size;
    };
    ASSERT_TRUE(s.set_receive_buffer(20'000).ok());
    ASSERT_TRUE(s.set_send_buffer(30'000).ok());
    EXPECT_EQ(kept(SO_RCVBUF), 40'000);
    EXPECT_EQ(kept(SO_SNDBUF), 60'000);
  });
}

struct lone {
  udp_socket socket = bound();
};

TEST(UdpSocket, EverythingEndsAReceive) {
  run([] {
    char buffer[10];
    expect_everything_ends(
        poll_side::read, [] { return lone{}; }, [&](udp_socket& s) { return s.receive_from(buffer).status(); });
    expect_close_ends(
        poll_side::read, [] { return lone{}; }, [&](udp_socket& s) { return s.receive(buffer).status(); });
    expect_everything_ends(
        poll_side::read, [] { return lone{}; },
        [&](udp_socket& s) {
          incoming some[3] = {{.buffer = buffer}};
          return s.receive_many(some).status();
        });
  });
}

// Sends to loopback never wait, so the kernel's refusal is made by the test.
TEST(UdpSocket, EverythingEndsASend) {
  run([] {
    with_failing_calls({SYS_sendto}, [] {
      udp_socket peer = bound();
      for (int how = 0; how < 3; ++how) {
        udp_socket s = connected_to(peer);
        const cancellable_context ctx = with_cancel(context::background());
        s.set_write_context(ctx);
        failing_calls::fail(SYS_sendto, EAGAIN, 1 << 30);
        auto ender = spawn([&] {
          until_writer_waits(s);
          if (how == 0) s.close();
          if (how == 1) s.set_write_deadline(clock::now());
          if (how == 2) ctx.cancel(absl::AbortedError("the test says so"));
        });
        const absl::Status end = s.send("x").status();
        ender.join();
        failing_calls::fail(SYS_sendto, EAGAIN, 0);
        EXPECT_EQ(end.code(), how == 0   ? absl::StatusCode::kCancelled
                              : how == 1 ? absl::StatusCode::kDeadlineExceeded
                                         : absl::StatusCode::kAborted)
            << end;
      }
    });
  });
}

TEST(UdpSocket, ADeadlineLeavesTheOtherSideAlone) {
  run([] {
    udp_socket a = bound();
    udp_socket b = connected_to(a);
    b.set_read_timeout(0s);
    char buffer[10];
    EXPECT_EQ(b.receive(buffer).status().code(), absl::StatusCode::kDeadlineExceeded);
    must(b.send("x"));
    EXPECT_EQ(must(a.receive(buffer)), 1u);
    b.set_write_timeout(0s);
    b.set_read_timeout(std::chrono::hours::max());
    EXPECT_EQ(b.send("x").status().code(), absl::StatusCode::kDeadlineExceeded);
    must(a.send_to("y", b.local_address()));
    EXPECT_EQ(must(b.receive(buffer)), 1u);
  });
}

// A past deadline fails at once, also when a datagram is there; and that datagram stays.
TEST(UdpSocket, ADatagramThatCameWithTheDeadlineIsReceivedAfterwards) {
  run([] {
    udp_socket a = bound();
    udp_socket b = connected_to(a);
    char buffer[10];
    for (int i = 0; i < 300; ++i) {
      auto receiver = spawn([&] { return a.receive(buffer); });
      if (i % 2 == 0) until_reader_waits(a);
      if (i % 3 == 0) {
        must(b.send("x"));
        a.set_read_deadline(clock::now());
      } else {
        a.set_read_deadline(clock::now());
        must(b.send("x"));
      }
      const absl::StatusOr<std::size_t> n = receiver.join();
      a.set_read_deadline(clock::time_point::max());
      if (!n.ok()) {
        EXPECT_EQ(must(a.receive(buffer)), 1u);
      }
    }
  });
}

// Receives queue: each datagram goes to one of them, whole. A sender works on the same socket meanwhile.
TEST(UdpSocket, ReceiversTakeTurnsBesideASender) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          udp_socket a = bound();
          udp_socket b = bound();
          constexpr int rounds = 300;
          std::set<std::string> got;
          mutex guard;
          std::vector<fiber<void>> receivers;
          for (int k = 0; k < 2; ++k) {
            receivers.push_back(spawn([&] {
              for (int i = 0; i < rounds; ++i) {
                char buffer[20];
                const datagram d = must(b.receive_from(buffer));
                {
                  const std::lock_guard hold(guard);
                  EXPECT_TRUE(got.emplace(buffer, d.size).second);
                }
                must(b.send_to("ok", d.from));  // receives of others wait on the same socket
              }
            }));
          }
          char answer[2];
          for (int i = 0; i < 2 * rounds; ++i) {
            must(a.send_to(std::to_string(i), b.local_address()));
            must(a.receive(answer));
          }
          for (auto& r : receivers) r.join();
          EXPECT_EQ(got.size(), std::size_t{2 * rounds});
        },
        {.procs = procs_now});
  }
}

TEST(UdpSocket, ThreadsUseItToo) {
  run([] {
    udp_socket a = bound();
    udp_socket b = connected_to(a);
    std::thread receiver([&a] {
      char buffer[10];
      const datagram d = must(a.receive_from(buffer));
      must(a.send_to("back", d.from));
    });
    must(b.send("x"));
    char buffer[10];
    EXPECT_EQ(must(b.receive(buffer)), 4u);
    blocking([&] { receiver.join(); });
  });
}

// Sockets are closed while datagrams are on their way to them, and their numbers are reused at once.
TEST(UdpSocket, AStormOfClosesDeliversNothingForeign) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          std::vector<fiber<void>> all;
          for (int w = 0; w < 8; ++w) {
            all.push_back(spawn([w] {
              for (int i = 0; i < 60; ++i) {
                udp_socket a = bound();
                udp_socket b = connected_to(a);
                const std::string text = std::to_string(w) + "/" + std::to_string(i);
                auto late = spawn([&a] {
                  char buffer[20];
                  while (a.receive(buffer).ok()) {
                  }
                });
                must(b.send(text));
                a.close();
                late.join();
                (void)b.send(text);
                udp_socket c = bound();
                udp_socket d = connected_to(c);
                must(d.send(text));
                char buffer[20];
                const std::size_t n = must(c.receive(buffer));
                ASSERT_EQ(std::string(buffer, n), text);
              }
            }));
          }
          for (auto& f : all) f.join();
        },
        {.procs = procs_now});
  }
}

TEST(UdpSocket, NotOpenIsAnErrorOfEachCall) {
  run([] {
    udp_socket a = bound();
    udp_socket b = std::move(a);
    char buffer[1];
    incoming in[1] = {{.buffer = buffer}};
    const outgoing out[1] = {{.data = "x"}};
    const address group = must(address::from_ip("239.1.2.3", 0));
    for (const absl::Status& s :
         {a.send("x").status(), a.send_to("x", b.local_address()).status(), a.receive(buffer).status(),
          a.receive_from(buffer).status(), a.send_many(out).status(), a.receive_many(in).status(), a.join_group(group),
          a.leave_group(group), a.set_multicast_loop(true), a.set_multicast_ttl(1), a.set_multicast_interface(""),
          a.set_broadcast(true), a.set_receive_buffer(1), a.set_send_buffer(1)}) {
      EXPECT_EQ(s.code(), absl::StatusCode::kFailedPrecondition) << s;
    }
    a.close();
    a.set_timeout(1s);
    EXPECT_EQ(a.release(), -1);
    EXPECT_EQ(a.local_address(), address());
    const address was = b.local_address();
    b.close();
    EXPECT_EQ(b.local_address(), was);
    EXPECT_EQ(b.set_broadcast(true).code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(b.join_group(group).code(), absl::StatusCode::kCancelled);
  });
}

// The errors of the man pages.
TEST(UdpSocket, ErrorsOfTheKernelComeOut) {
  run([] {
    with_failing_calls({SYS_recvfrom, SYS_sendto, SYS_recvmmsg, SYS_sendmmsg, SYS_setsockopt}, [] {
      udp_socket a = bound();
      udp_socket b = connected_to(a);
      char buffer[10];
      incoming in[2] = {{.buffer = buffer}};
      const outgoing out[2] = {{.data = "x"}, {.data = "y"}};
      for (const int error : {ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, ENETDOWN, ENOMEM, ENOBUFS, EMSGSIZE,
                              EACCES, EPERM, EINVAL, EPIPE, EIO, ENOPROTOOPT, ETIMEDOUT, EOPNOTSUPP}) {
        const auto expect = [error](long call, const absl::Status& s) {
          EXPECT_EQ(errno_of(s), error) << call << " " << s;
          EXPECT_EQ(failing_calls::left(), 0);
        };
        failing_calls::fail(SYS_recvfrom, error);
        expect(SYS_recvfrom, a.receive(buffer).status());
        failing_calls::fail(SYS_recvfrom, error);
        expect(SYS_recvfrom, a.receive_from(buffer).status());
        failing_calls::fail(SYS_recvmmsg, error);
        expect(SYS_recvmmsg, a.receive_many(in).status());
        failing_calls::fail(SYS_sendto, error);
        expect(SYS_sendto, b.send("x").status());
        failing_calls::fail(SYS_sendto, error);
        expect(SYS_sendto, a.send_to("x", b.local_address()).status());
        failing_calls::fail(SYS_sendmmsg, error);
        expect(SYS_sendmmsg, b.send_many(out).status());
        failing_calls::fail(SYS_setsockopt, error);
        expect(SYS_setsockopt, b.set_broadcast(true));
      }
      // A signal: the call is made again.
      failing_calls::fail(SYS_sendto, EINTR, 3);
      must(b.send("x"));
      failing_calls::fail(SYS_recvfrom, EINTR, 3);
      EXPECT_EQ(must(a.receive(buffer)), 1u);
      failing_calls::fail(SYS_sendmmsg, EINTR, 3);
      EXPECT_EQ(must(b.send_many(out)), 2);
      failing_calls::fail(SYS_recvmmsg, EINTR, 3);
      EXPECT_GE(must(a.receive_many(in)), 1);
      EXPECT_EQ(failing_calls::left(), 0);
    });
  });
}

TEST(UdpSocket, ErrorsOfMakingOneComeOutAndLeaveNothing) {
  run([] {
    with_failing_calls({SYS_socket, SYS_bind, SYS_connect, SYS_setsockopt, SYS_getsockname}, [] {
      const struct {
        long call;
        std::vector<int> errors;
      } table[] = {
          {SYS_socket, {EMFILE, ENFILE, EACCES, EAFNOSUPPORT, EINVAL, ENOBUFS, ENOMEM, EPROTONOSUPPORT}},
          {SYS_bind, {EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL}},
          {SYS_connect, {EADDRNOTAVAIL, EAGAIN, ENETUNREACH, EPERM, EACCES, EHOSTUNREACH}},
          {SYS_setsockopt, {EDOM, EPERM, ENOMEM}},
          {SYS_getsockname, {ENOBUFS}},
      };
      const int before = bound().native_handle();  // the lowest that is free
      for (const auto& row : table) {
        for (const int error : row.errors) {
          failing_calls::fail(row.call, error);
          const udp_options options{.local = "127.0.0.1:0", .reuse_address = true};
          const absl::Status s = udp_socket::connect("127.0.0.1:9", options).status();
          EXPECT_EQ(errno_of(s), error) << row.call << " " << s;
          EXPECT_EQ(failing_calls::left(), 0);
        }
      }
      EXPECT_EQ(bound().native_handle(), before);
    });
  });
}

TEST(UdpSocket, WithoutDescriptorsItSaysSoAndRecovers) {
  run([] {
    udp_socket a = bound();  // the poller has its descriptors
    rlimit former{};
    ::getrlimit(RLIMIT_NOFILE, &former);
    const rlimit none{static_cast<rlim_t>(a.native_handle()) + 1, former.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    std::vector<int> fill;
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) fill.push_back(fd);
    const absl::Status s = udp_socket::bind("127.0.0.1:0").status();
    const absl::StatusOr<std::size_t> sent = a.send_to("x", a.local_address());
    for (const int fd : fill) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &former);
    EXPECT_EQ(errno_of(s), EMFILE) << s;
    EXPECT_TRUE(sent.ok());
    EXPECT_TRUE(udp_socket::bind("127.0.0.1:0").ok());
  });
}

}  // namespace
}  // namespace baton::net::test
