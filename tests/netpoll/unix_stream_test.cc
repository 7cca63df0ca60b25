// Unix streams and packets: data, half-close, peers that vanish, what ends a wait.
#include "blocked_calls.h"
#include "failing_calls.h"
#include "temporary_directory.h"

#include <baton/netpoll/unix_listener.h>
#include <baton/syscall/fork_exec.h>
#include <baton/syscall/processes.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

namespace baton::net::test {
namespace {

// One end is the test's, the other the peer's.
template <class Socket>
struct ends {
  ends() : ends(must(Socket::pair())) {}
  explicit ends(std::pair<Socket, Socket> both) : socket(std::move(both.first)), peer(std::move(both.second)) {}
  Socket socket;
  Socket peer;
};

template <class Socket>
void shrink(Socket& s) {
  const int size = 4096;
  ::setsockopt(s.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

TEST(UnixStream, CarriesBytesBothWaysUntilHalfAndWholeEnd) {
  run([] {
    ends<unix_stream> e;
    const std::string text(1 << 20, 'x');
    auto writes = spawn([&] { return must(e.socket.write(text)); });
    std::string buffer(text.size(), '\0');
    EXPECT_EQ(must(e.peer.read_full(buffer)), text.size());
    EXPECT_EQ(writes.join(), text.size());
    const const_bytes pieces[] = {"ab", "", "cd", "e"};
    ASSERT_TRUE(e.peer.write_v(pieces).ok());
    EXPECT_EQ(must(e.socket.read_full({buffer.data(), 5})), 5u);
    EXPECT_EQ(buffer.substr(0, 5), "abcde");
    EXPECT_EQ(must(e.socket.read(bytes())), 0u);
    EXPECT_EQ(must(e.socket.write("")), 0u);
    ASSERT_TRUE(e.socket.close_write().ok());
    char c[10];
    EXPECT_EQ(must(e.peer.read(c)), 0u);  // the end
    must(e.peer.write("still"));
    EXPECT_EQ(must(e.socket.read_full({c, 5})), 5u);
    const absl::Status s = e.socket.write("x").status();
    EXPECT_EQ(errno_of(s), EPIPE) << s;
    EXPECT_EQ(s.message().find("write unix stream: "), 0u) << s;
  });
}

TEST(UnixStream, SendsFiles) {
  run([] {
    ends<unix_stream> e;
    const sys::owned_fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    auto reads = spawn([&] {
      std::string buffer(300'000, '\0');
      return must(e.peer.read_full(buffer)) == buffer.size() ? buffer : std::string();
    });
    EXPECT_EQ(must(e.socket.send_file(file.get(), 0, 300'000)), 300'000u);
    std::string expected(300'000, '\0');
    ASSERT_EQ(::pread(file.get(), expected.data(), expected.size(), 0), ssize_t{300'000});
    EXPECT_EQ(reads.join(), expected);
  });
}

// Several writers: no bytes of another write come in between. The reader reads one byte at a time at first.
TEST(UnixStream, WritesAreUnits) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          ends<unix_stream> e;
          shrink(e.socket);
          constexpr std::size_t each = 100'000;
          std::vector<fiber<void>> writers;
          for (int k = 0; k < 3; ++k) {
            writers.push_back(spawn([&e, k] { must(e.socket.write(std::string(each, static_cast<char>('a' + k)))); }));
          }
          std::string got;
          char byte[1];
          for (int i = 0; i < 100; ++i) got.append(byte, must(e.peer.read(byte)));
          std::string rest(3 * each - got.size(), '\0');
          EXPECT_EQ(must(e.peer.read_full(rest)), rest.size());
          got += rest;
          EXPECT_EQ(std::unique(got.begin(), got.end()) - got.begin(), 3);
          for (auto& w : writers) w.join();
        },
        {.procs = procs_now});
  }
}

TEST(UnixStream, EverythingEndsAReadAndAWrite) {
  run([] {
    char buffer[10];
    expect_everything_ends(
        poll_side::read, [] { return ends<unix_stream>(); }, [&](unix_stream& s) { return s.read(buffer).status(); });
    expect_close_ends(
        poll_side::read, [] { return ends<unix_stream>(); },
        [&](unix_stream& s) { return s.read_full(buffer).status(); });
    sys::owned_fd fd;
    expect_everything_ends(
        poll_side::read, [] { return ends<unix_stream>(); }, [&](unix_stream& s) { return s.receive_fd().status(); });
    const std::string big(1 << 20, 'x');
    expect_everything_ends(
        poll_side::write, [] { return ends<unix_stream>(); }, [&](unix_stream& s) { return s.write(big).status(); });
    expect_everything_ends(
        poll_side::write, [] { return ends<unix_stream>(); }, [&](unix_stream& s) { return s.send_fd(0, big); });
  });
}

TEST(UnixSeqpacket, EverythingEndsAReceiveAndASend) {
  run([] {
    char buffer[10];
    expect_everything_ends(
        poll_side::read, [] { return ends<unix_seqpacket>(); },
        [&](unix_seqpacket& s) { return s.receive(buffer).status(); });
    expect_everything_ends(
        poll_side::write,
        [] {
          ends<unix_seqpacket> e;
          shrink(e.socket);
          return e;
        },
        [](unix_seqpacket& s) {
          for (;;) {
            const absl::StatusOr<std::size_t> sent = s.send("packet");
            if (!sent.ok()) return sent.status();
          }
        });
  });
}

TEST(UnixSeqpacket, PacketsStayWhole) {
  run([] {
    ends<unix_seqpacket> e;
    must(e.socket.send("one"));
    must(e.socket.send("two, longer"));
    must(e.socket.send("three"));
    char buffer[5];
    EXPECT_EQ(must(e.peer.receive(buffer)), 3u);
    const absl::Status s = e.peer.receive(buffer).status();
    EXPECT_EQ(errno_of(s), EMSGSIZE) << s;
    EXPECT_EQ(std::string(buffer, 5), "two, ");
    EXPECT_EQ(must(e.peer.receive(buffer)), 5u);  // the rest of the second is not a packet
    EXPECT_EQ(e.socket.send("").status().code(), absl::StatusCode::kInvalidArgument);
    shrink(e.socket);
    EXPECT_EQ(errno_of(e.socket.send(std::string(1 << 20, 'x')).status()), EMSGSIZE);
    must(e.socket.send("last"));
    ASSERT_TRUE(e.socket.close_write().ok());
    EXPECT_EQ(must(e.peer.receive(buffer)), 4u);
    EXPECT_EQ(must(e.peer.receive(buffer)), 0u);
    EXPECT_EQ(errno_of(e.socket.send("x").status()), EPIPE);
    must(e.peer.send("back"));
    EXPECT_EQ(must(e.socket.receive(buffer)), 4u);
  });
}

// Each packet goes to one receiver, while a sender works on the same socket.
TEST(UnixSeqpacket, ReceiversTakeTurnsBesideASender) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          ends<unix_seqpacket> e;
          constexpr int rounds = 300;
          std::atomic<int> sum{0};
          std::vector<fiber<void>> receivers;
          for (int k = 0; k < 2; ++k) {
            receivers.push_back(spawn([&] {
              for (;;) {
                char buffer[10];
                const std::size_t n = must(e.socket.receive(buffer));
                if (n == 0) return;
                sum += std::stoi(std::string(buffer, n));
                must(e.socket.send("ok"));
              }
            }));
          }
          char answer[2];
          for (int i = 1; i <= rounds; ++i) {
            must(e.peer.send(std::to_string(i)));
            EXPECT_EQ(must(e.peer.receive(answer)), 2u);
          }
          ASSERT_TRUE(e.peer.close_write().ok());
          for (auto& r : receivers) r.join();
          EXPECT_EQ(sum, rounds * (rounds + 1) / 2);
        },
        {.procs = procs_now});
  }
}

TEST(UnixPeers, ThatCloseAreNoticed) {
  run([] {
    char buffer[10];
    {
      ends<unix_stream> e;
      auto reads = spawn([&] { return must(e.socket.read(buffer)); });
      until_reader_waits(e.socket);
      e.peer.close();
      EXPECT_EQ(reads.join(), 0u);
      EXPECT_EQ(errno_of(e.socket.write("x").status()), EPIPE);
    }
    {
      ends<unix_stream> e;
      must(e.socket.write("unread"));
      e.peer.close();
      EXPECT_EQ(errno_of(e.socket.read(buffer).status()), ECONNRESET);
      EXPECT_EQ(must(e.socket.read(buffer)), 0u);
    }
    {
      ends<unix_stream> e;
      const std::string big(1 << 20, 'x');
      auto writes = spawn([&] { return e.socket.write(big).status(); });
      until_writer_waits(e.socket);
      e.peer.close();
      const absl::Status s = writes.join();
      EXPECT_TRUE(errno_of(s) == EPIPE || errno_of(s) == ECONNRESET) << s;
      EXPECT_GT(written_of(s), 0u);
      EXPECT_LT(written_of(s), big.size());
    }
    {
      ends<unix_seqpacket> e;
      auto receives = spawn([&] { return must(e.socket.receive(buffer)); });
      until_reader_waits(e.socket);
      e.peer.close();
      EXPECT_EQ(receives.join(), 0u);
      EXPECT_EQ(errno_of(e.socket.send("x").status()), EPIPE);
    }
    {
      ends<unix_datagram> e;
      e.peer.close();
      const absl::Status s = e.socket.send("x").status();
      EXPECT_TRUE(errno_of(s) == ECONNREFUSED || errno_of(s) == ENOTCONN) << s;
    }
  });
}

// The peer is another process, which is killed.
TEST(UnixPeers, ThatAreKilledAreNoticed) {
  run([] {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    unix_stream ours = must(unix_stream::adopt(fds[0]));
    sys::owned_fd theirs(fds[1]);
    sys::child_attributes attributes;
    attributes.files = {theirs.get(), theirs.get(), 2};
    const auto child = sys::fork_exec("/bin/cat", {"cat"}, attributes);
    ASSERT_TRUE(child);
    theirs.reset();
    must(ours.write("echo"));
    char buffer[10];
    EXPECT_EQ(must(ours.read_full({buffer, 4})), 4u);
    auto reads = spawn([&] { return must(ours.read(buffer)); });
    until_reader_waits(ours);
    ASSERT_EQ(::kill(*child, SIGKILL), 0);
    EXPECT_EQ(reads.join(), 0u);
    EXPECT_EQ(errno_of(ours.write("x").status()), EPIPE);
    EXPECT_TRUE(sys::wait4(*child, 0));
  });
}

TEST(UnixStream, NotOpenIsAnErrorOfEachCall) {
  run([] {
    unix_stream a;
    unix_seqpacket b;
    char buffer[1];
    sys::owned_fd fd;
    for (const absl::Status& s :
         {a.read(buffer).status(), a.write("x").status(), a.close_write(), a.send_fd(0), a.receive_fd().status(),
          a.receive_fds(buffer, {&fd, 1}).status(), a.credentials().status(), b.send("x").status(),
          b.receive(buffer).status(), b.close_write(), b.send_fd(0), b.receive_fd().status()}) {
      EXPECT_EQ(s.code(), absl::StatusCode::kFailedPrecondition) << s;
    }
    ends<unix_stream> e;
    e.socket.close();
    EXPECT_EQ(e.socket.credentials().status().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(e.socket.close_write().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(e.socket.send_fd(0).code(), absl::StatusCode::kCancelled);
  });
}

TEST(UnixStream, ErrorsOfTheKernelComeOut) {
  run([] {
    with_failing_calls({SYS_recvfrom, SYS_sendto, SYS_sendmsg, SYS_recvmsg, SYS_socketpair}, [] {
      ends<unix_stream> e;
      ends<unix_seqpacket> p;
      char buffer[10];
      sys::owned_fd fd;
      for (const int error : {ECONNRESET, ENOMEM, ENOBUFS, EIO, EACCES, EPERM, ENOTCONN, ETOOMANYREFS, EINVAL}) {
        const auto expect = [error](long call, const absl::Status& s) {
          EXPECT_EQ(errno_of(s), error) << call << " " << s;
          EXPECT_EQ(failing_calls::left(), 0);
        };
        failing_calls::fail(SYS_recvfrom, error);
        expect(SYS_recvfrom, e.socket.read(buffer).status());
        failing_calls::fail(SYS_recvfrom, error);
        expect(SYS_recvfrom, p.socket.receive(buffer).status());
        failing_calls::fail(SYS_sendto, error);
        expect(SYS_sendto, e.socket.write("x").status());
        failing_calls::fail(SYS_sendto, error);
        expect(SYS_sendto, p.socket.send("x").status());
        failing_calls::fail(SYS_sendmsg, error);
        expect(SYS_sendmsg, e.socket.send_fd(0));
        failing_calls::fail(SYS_recvmsg, error);
        expect(SYS_recvmsg, e.socket.receive_fds(buffer, {&fd, 1}).status());
        failing_calls::fail(SYS_socketpair, error);
        expect(SYS_socketpair, unix_stream::pair().status());
      }
      failing_calls::fail(SYS_sendmsg, EINTR, 3);
      EXPECT_TRUE(e.socket.send_fd(0).ok());
      failing_calls::fail(SYS_recvmsg, EINTR, 3);
      EXPECT_TRUE(e.peer.receive_fd().ok());
      EXPECT_EQ(failing_calls::left(), 0);
    });
  });
}

}  // namespace
}  // namespace baton::net::test
