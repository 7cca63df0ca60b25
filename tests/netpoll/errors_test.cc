// Each errno that a call of netpoll may get is handled or reported, and nothing is lost.
#include "failing_calls.h"
#include "net_test_support.h"

#include <baton/runtime/context.h>
#include <baton/runtime/stats.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <atomic>
#include <cerrno>
#include <string>

namespace {

// What the next registrations with epoll return.
std::atomic<int> registration_error{0};
std::atomic<int> registrations_failing{0};

}  // namespace

// This executable's own epoll_ctl(): netpoll, linked into it, calls this one.
extern "C" int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) noexcept {
  if (operation == EPOLL_CTL_ADD && registrations_failing.load() > 0) {
    registrations_failing.fetch_sub(1);
    errno = registration_error.load();
    return -1;
  }
  return static_cast<int>(::syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event));
}

namespace baton::net::test {
namespace {

TEST(Accept, OutlivesWhatBefallsOneConnection) {
  run([] {
    tcp_listener l = listen();
    with_failing_calls({SYS_accept4}, [&l] {
      for (const int error : {ECONNABORTED, ECONNRESET, EPERM, EPROTO, ETIMEDOUT, ENETDOWN, ENETUNREACH, EHOSTDOWN,
                              EHOSTUNREACH, ENONET, ENOPROTOOPT, EOPNOTSUPP, EPROTONOSUPPORT, ESOCKTNOSUPPORT, EINTR}) {
        const accept_counters before = read_accept_counters();
        failing_calls::fail(SYS_accept4, error);
        const connection c = connect(l);
        EXPECT_EQ(failing_calls::left(), 0);
        const accept_counters after = read_accept_counters();
        EXPECT_EQ(after.dropped - before.dropped, error == EINTR ? 0u : 1u) << error;
        EXPECT_EQ(after.put_off, before.put_off) << error;
      }
    });
  });
}

TEST(Accept, WaitsOutWhatIsShortOrUnknown) {
  run([] {
    tcp_listener l = listen();
    with_failing_calls({SYS_accept4}, [&l] {
      for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC, ENOSR, ENOSYS, EXFULL}) {
        const accept_counters before = read_accept_counters();
        failing_calls::fail(SYS_accept4, error);
        const connection c = connect(l);
        EXPECT_EQ(failing_calls::left(), 0);
        const accept_counters after = read_accept_counters();
        EXPECT_EQ(after.put_off - before.put_off, 1u) << error;
        EXPECT_EQ(after.dropped, before.dropped) << error;
      }
    });
  });
}

TEST(Accept, FailsWhenTheListenerIsNoMore) {
  run([] {
    tcp_listener l = listen();
    with_failing_calls({SYS_accept4}, [&l] {
      for (const int error : {EBADF, EINVAL, ENOTSOCK, EFAULT}) {
        failing_calls::fail(SYS_accept4, error);
        const absl::Status s = l.accept().status();
        EXPECT_EQ(errno_of(s), error) << s;
        EXPECT_EQ(std::string(s.message()).find("accept " + l.local_address().to_string() + ": "), 0u) << s;
      }
      const connection c = connect(l);  // the error was not true
    });
  });
}

// An error of one connection that comes with each: accept() does not retry as fast as the CPU can.
TEST(Accept, PausesWhenEachConnectionFails) {
  run([] {
    tcp_listener l = listen();
    with_failing_calls({SYS_accept4}, [&l] {
      const accept_counters before = read_accept_counters();
      failing_calls::fail(SYS_accept4, EPERM, 1 << 30);
      l.set_deadline(clock::now() + 100ms);
      const absl::Status s = l.accept().status();
      EXPECT_EQ(s.code(), absl::StatusCode::kDeadlineExceeded) << s;
      const accept_counters after = read_accept_counters();
      EXPECT_GT(after.put_off, before.put_off);
      EXPECT_EQ(stats().accepts_put_off, after.put_off);
      EXPECT_EQ(stats().accepts_dropped, after.dropped);
      EXPECT_LT(after.dropped - before.dropped, 40u);
      failing_calls::fail(SYS_accept4, EPERM, 0);
    });
  });
}

// A pause ends when the accept() does.
TEST(Accept, APauseEndsByCloseDeadlineAndContext) {
  run([] {
    for (int how = 0; how < 3; ++how) {
      tcp_listener l = listen();
      with_failing_calls({SYS_accept4}, [&] {
        failing_calls::fail(SYS_accept4, EMFILE, 1 << 30);
        const cancellable_context ctx = with_cancel(context::background());
        l.set_context(ctx);
        auto ender = spawn([&] {
          until_reader_waits(l);
          if (how == 0) l.close();
          if (how == 1) l.set_deadline(clock::now());
          if (how == 2) ctx.cancel(absl::AbortedError("the test says so"));
        });
        const absl::Status s = l.accept().status();
        ender.join();
        EXPECT_EQ(s.code(), how == 0   ? absl::StatusCode::kCancelled
                            : how == 1 ? absl::StatusCode::kDeadlineExceeded
                                       : absl::StatusCode::kAborted)
            << s;
        failing_calls::fail(SYS_accept4, EMFILE, 0);
      });
    }
  });
}

// A connection that was accepted, but could not be registered, is served once it can be.
TEST(Accept, KeepsAConnectionThatCannotBeRegisteredYet) {
  run([] {
    tcp_listener l = listen();
    for (const int error : {ENOSPC, ENOMEM}) {
      tcp_stream client = must(dial(l.local_address().to_string()));
      registration_error = error;
      registrations_failing = 3;
      tcp_stream server = must(l.accept());
      EXPECT_EQ(registrations_failing, 0);
      must(client.write("x"));
      char buffer[1];
      EXPECT_EQ(must(server.read(buffer)), 1u);
    }
  });
}

// A connection that can never be registered is given up, and no other one is.
TEST(Accept, DropsAConnectionThatCannotBeRegistered) {
  run([] {
    tcp_listener l = listen();
    const accept_counters before = read_accept_counters();
    tcp_stream first = must(dial(l.local_address().to_string()));
    tcp_stream second = must(dial(l.local_address().to_string()));
    registration_error = EPERM;
    registrations_failing = 1;
    tcp_stream server = must(l.accept());
    EXPECT_EQ(server.remote_address().port(), second.local_address().port());
    char buffer[1];
    EXPECT_EQ(must(first.read(buffer)), 0u);
    EXPECT_EQ(read_accept_counters().dropped - before.dropped, 1u);
  });
}

// The listener is closed while a connection waits for its registration: that connection is closed, too.
TEST(Accept, GivesUpAConnectionInHandWhenItEnds) {
  run([] {
    tcp_listener l = listen();
    tcp_stream client = must(dial(l.local_address().to_string()));
    registration_error = ENOSPC;
    registrations_failing = 1 << 30;
    auto acceptor = spawn([&l] { return l.accept().status(); });
    until_reader_waits(l);
    l.close();
    EXPECT_EQ(acceptor.join().code(), absl::StatusCode::kCancelled);
    registrations_failing = 0;
    char buffer[1];
    EXPECT_EQ(must(client.read(buffer)), 0u);
  });
}

// A deadline or a context ends an accept() while a connection waits for its registration: the next accept() returns it.
TEST(Accept, KeepsAConnectionInHandForTheNextOne) {
  run([] {
    for (int how = 0; how < 4; ++how) {
      tcp_listener l = listen();
      const cancellable_context ctx = with_cancel(context::background());
      l.set_context(ctx);
      tcp_stream client = must(dial(l.local_address().to_string()));
      registration_error = ENOMEM;
      registrations_failing = 1 << 30;
      auto acceptor = spawn([&l] { return l.accept().status(); });
      until_reader_waits(l);
      if (how == 1) ctx.cancel();
      if (how != 1) l.set_deadline(clock::now());
      EXPECT_FALSE(acceptor.join().ok());
      registrations_failing = 0;
      char buffer[1];
      if (how < 2) {
        l.set_deadline(clock::time_point::max());
        l.set_context(context::background());
        tcp_stream server = must(l.accept());
        EXPECT_EQ(server.remote_address(), client.local_address());
        EXPECT_EQ(server.local_address(), client.remote_address());
        must(client.write("x"));
        EXPECT_EQ(must(server.read(buffer)), 1u);
      } else {  // no accept() will return it
        if (how == 2) l.close();
        if (how == 3) l = tcp_listener();
        EXPECT_EQ(must(client.read(buffer)), 0u);
      }
    }
  });
}

// The local address is that of the connection, not of one that was given up before it.
TEST(Accept, TheLocalAddressAfterAConnectionThatWasGivenUp) {
  run([] {
    tcp_listener l = must(tcp_listener::bind("0.0.0.0:0"));
    const std::string port = std::to_string(l.local_address().port());
    tcp_stream first = must(dial("127.0.0.1:" + port));
    tcp_stream second = must(dial("127.0.0.2:" + port));
    registration_error = EPERM;
    registrations_failing = 1;
    tcp_stream server = must(l.accept());
    EXPECT_EQ(server.local_address(), second.remote_address());
  });
}

// A regular file: epoll does not take it. Until it is attached the descriptor belongs to its owner.
TEST(Descriptor, RefusesWhatCannotBePolled) {
  run([] {
    sys::owned_fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(file);
    descriptor d;
    EXPECT_EQ(d.attach(file), EPERM);
    EXPECT_NE(::fcntl(file.get(), F_GETFD), -1);
    const int number = file.get();
    EXPECT_EQ(d.attach(file.release()), EPERM);
    EXPECT_EQ(::fcntl(number, F_GETFD), -1);
    EXPECT_EQ(d.native_handle(), -1);
    int ends[2];
    ASSERT_EQ(::pipe2(&ends[0], O_NONBLOCK | O_CLOEXEC), 0);
    const sys::owned_fd writer(ends[1]);
    EXPECT_EQ(d.attach(ends[0]), 0);  // the failures have left nothing
    EXPECT_EQ(d.native_handle(), ends[0]);
    EXPECT_TRUE(d.close());
  });
}

TEST(Streams, RegistrationThatFailsComesOut) {
  run([] {
    tcp_listener l = listen();
    registration_error = ENOSPC;
    registrations_failing = 1;
    EXPECT_EQ(errno_of(dial(l.local_address().to_string()).status()), ENOSPC);
    registrations_failing = 1;
    EXPECT_EQ(errno_of(tcp_listener::bind("127.0.0.1:0").status()), ENOSPC);
  });
}

TEST(Streams, ReadAndWriteGoOnAfterASignalAndReportTheRest) {
  run([] {
    tcp_listener l = listen();
    with_failing_calls({SYS_recvfrom, SYS_sendto, SYS_sendmsg}, [&l] {
      connection c = connect(l);
      char buffer[4];
      must(c.server.write("abcd"));
      failing_calls::fail(SYS_recvfrom, EINTR, 3);
      EXPECT_EQ(must(c.client.read(buffer)), 4u);
      must(c.server.write("ab"));
      failing_calls::fail(SYS_recvfrom, EINTR, 3);
      auto more = spawn([&c] {
        until_reader_waits(c.client);
        must(c.server.write("cd"));
      });
      EXPECT_EQ(must(c.client.read_full(buffer)), 4u);
      more.join();
      failing_calls::fail(SYS_sendto, EINTR, 3);
      EXPECT_EQ(must(c.client.write("abcd")), 4u);
      EXPECT_EQ(failing_calls::left(), 0);
      for (const int error : {ECONNRESET, ENOBUFS, ENOMEM, EIO, ETIMEDOUT, EHOSTUNREACH, EACCES}) {
        failing_calls::fail(SYS_recvfrom, error);
        EXPECT_EQ(errno_of(c.client.read(buffer).status()), error);
        failing_calls::fail(SYS_recvfrom, error);
        EXPECT_EQ(errno_of(c.client.read_full(buffer).status()), error);
        failing_calls::fail(SYS_sendto, error);
        EXPECT_EQ(errno_of(c.client.write("x").status()), error);
        failing_calls::fail(SYS_sendmsg, error);
        const const_bytes pieces[] = {"x", "y"};
        EXPECT_EQ(errno_of(c.client.write_v(pieces)), error);
      }
      // It still works.
      must(c.server.write("abcd"));
      EXPECT_EQ(must(c.client.read_full(buffer)), 4u);
    });
  });
}

TEST(Streams, ErrorsOfOptionsComeOut) {
  run([] {
    tcp_listener l = listen();
    with_failing_calls({SYS_setsockopt, SYS_shutdown}, [&l] {
      connection c = connect(l);
      failing_calls::fail(SYS_setsockopt, ENOPROTOOPT);
      EXPECT_EQ(errno_of(c.client.set_no_delay(true)), ENOPROTOOPT);
      failing_calls::fail(SYS_setsockopt, EDOM);
      EXPECT_EQ(errno_of(c.client.set_keep_alive(1s)), EDOM);
      failing_calls::fail(SYS_shutdown, ENOTCONN);
      EXPECT_EQ(errno_of(c.client.close_write()), ENOTCONN);
    });
  });
}

}  // namespace
}  // namespace baton::net::test
