// Connections that come and go in masses, and peers that are killed in every state of a connection.
#include "net_test_support.h"

#include <baton/runtime/stats.h>
#include <baton/sched/platform/sanitizers.h>
#include <baton/syscall/fork_exec.h>
#include <baton/syscall/processes.h>
#include <baton/syscall/sockets.h>

#include <sys/socket.h>
#include <sys/wait.h>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace baton::net::test {
namespace {

// The runtime may open other descriptors at any time, for a report.
int open_sockets() {
  int sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    sockets += std::filesystem::read_symlink(entry, gone).string().starts_with("socket:") ? 1 : 0;
  }
  return sockets;
}

void echo_until_closed(tcp_listener& l) {
  for (auto peer = l.accept(); peer.ok(); peer = l.accept()) {
    go([s = *std::move(peer)]() mutable {
      char buffer[64];
      for (auto n = s.read(buffer); n.ok() && *n > 0; n = s.read(buffer)) {
        if (!s.write(const_bytes(buffer, *n)).ok()) return;
      }
    });
  }
}

// 100 at a time. Most clients end with a reset: after an orderly end a port is not free for a minute.
TEST(ManyConnections, TwentyThousandThatComeAndGoLeaveNothing) {
  run([] {
    constexpr int clients = 100;
    constexpr int rounds = BATON_ASAN || BATON_TSAN ? 20 : 200;
    const int sockets = open_sockets();
    const auto fibers = stats().fibers;
    {
      tcp_listener l = listen();
      auto serves = spawn([&l] { echo_until_closed(l); });
      std::vector<fiber<void>> dials;
      for (int c = 0; c < clients; ++c) {
        dials.push_back(spawn([&] {
          for (int i = 0; i < rounds; ++i) {
            tcp_stream s = must(dial(l.local_address().to_string()));
            must(s.write("echo"));
            char buffer[4];
            ASSERT_EQ(must(s.read_full(buffer)), 4U);
            if (i % 10 != 0) {
              ASSERT_TRUE(s.set_linger(0s).ok());
            }
          }
        }));
      }
      for (auto& d : dials) d.join();
      l.close();
      serves.join();
    }
    until([&] { return stats().fibers == fibers; });
    EXPECT_EQ(open_sockets(), sockets);
  });
}

// A process that holds the other end of a connection, and neither reads nor writes.
class holder {
 public:
  explicit holder(sys::owned_fd end) {
    sys::child_attributes attributes;
    attributes.files = {end.get(), end.get(), 2};
    const auto child = sys::fork_exec("/bin/sleep", {"sleep", "1000"}, attributes);
    EXPECT_TRUE(child);
    pid_ = *child;
  }
  void end() const {
    EXPECT_EQ(::kill(pid_, SIGKILL), 0);
    EXPECT_TRUE(sys::wait4(pid_, 0));
  }

 private:
  pid_t pid_ = 0;
};

struct held_connection {
  tcp_stream ours;
  holder theirs;
};

// `prepare` is called with both ends, before the process has the other one.
template <class Prepare>
held_connection held(tcp_listener& l, Prepare prepare) {
  connection c = connect(l);
  prepare(c);
  return {std::move(c.server), holder(sys::owned_fd(c.client.release()))};
}

bool is_cut(const absl::Status& s) { return errno_of(s) == ECONNRESET || errno_of(s) == EPIPE; }

absl::Status write_without_end(tcp_stream& s) {
  const std::string much(64 * 1024, 'x');
  for (;;) {
    if (auto n = s.write(much); !n.ok()) return n.status();
  }
}

TEST(KilledPeers, EndAReadThatWaits) {
  run([] {
    tcp_listener l = listen();
    const auto nothing = [](connection&) {};
    const auto unread = [](connection& c) { must(c.server.write("x")); };
    const auto we_have_closed = [](connection& c) { EXPECT_TRUE(c.server.close_write().ok()); };
    char buffer[10];
    for (const bool has_unread : {false, true}) {
      held_connection h = has_unread ? held(l, unread) : held(l, nothing);
      auto reads = spawn([&] { return h.ours.read(buffer); });
      until_reader_waits(h.ours);
      h.theirs.end();
      const auto end = reads.join();
      if (has_unread) {
        EXPECT_EQ(errno_of(end.status()), ECONNRESET) << end.status();
      } else {
        EXPECT_EQ(must(end), 0U);
      }
    }
    held_connection h = held(l, we_have_closed);
    auto reads = spawn([&] { return must(h.ours.read(buffer)); });
    until_reader_waits(h.ours);
    h.theirs.end();
    EXPECT_EQ(reads.join(), 0U);
  });
}

TEST(KilledPeers, EndAWriteThatWaits) {
  run([] {
    tcp_listener l = listen();
    const auto nothing = [](connection&) {};
    const auto they_have_closed = [](connection& c) { EXPECT_TRUE(c.client.close_write().ok()); };
    char buffer[10];
    {
      held_connection h = held(l, nothing);
      auto writes = spawn([&] { return write_without_end(h.ours); });
      auto reads = spawn([&] { return h.ours.read(buffer).status(); });
      until_writer_waits(h.ours);
      until_reader_waits(h.ours);
      h.theirs.end();
      EXPECT_TRUE(is_cut(writes.join()));
      const absl::Status read = reads.join();  // the other side has perhaps heard of the reset first
      EXPECT_TRUE(read.ok() || is_cut(read)) << read;
    }
    held_connection h = held(l, they_have_closed);
    EXPECT_EQ(must(h.ours.read(buffer)), 0U);
    auto writes = spawn([&] { return write_without_end(h.ours); });
    until_writer_waits(h.ours);
    h.theirs.end();
    EXPECT_TRUE(is_cut(writes.join()));
  });
}

TEST(KilledPeers, BeforeTheyAreAccepted) {
  run([] {
    tcp_listener l = listen();
    tcp_stream client = must(dial(l.local_address().to_string()));
    holder(sys::owned_fd(client.release())).end();
    tcp_stream late = must(l.accept());
    char buffer[10];
    EXPECT_EQ(must(late.read(buffer)), 0U);
    connection next = connect(l);
    must(next.client.write("fine"));
    EXPECT_EQ(must(next.server.read_full({buffer, 4})), 4U);
  });
}

}  // namespace
}  // namespace baton::net::test
