// Unix listeners: paths and abstract names, stale files, accept, what ends it.
#include "blocked_calls.h"
#include "failing_calls.h"
#include "temporary_directory.h"

#include <baton/netpoll/unix_listener.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace baton::net::test {
namespace {

// Leaves a socket file without a socket, as a process that is killed does.
void leave_stale(const std::string& path, int type) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  path.copy(a.sun_path, sizeof a.sun_path - 1);
  const sys::owned_fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a), 0);
}

template <class Listener>
class UnixListeners : public testing::Test {};

struct stream_types {
  using listener = unix_listener;
  using peer = unix_stream;
  static constexpr int type = SOCK_STREAM;
};
struct seqpacket_types {
  using listener = unix_seqpacket_listener;
  using peer = unix_seqpacket;
  static constexpr int type = SOCK_SEQPACKET;
};
using both = testing::Types<stream_types, seqpacket_types>;
TYPED_TEST_SUITE(UnixListeners, both);

TYPED_TEST(UnixListeners, AcceptAtAPathAndRemoveIt) {
  run([] {
    using listener = typename TypeParam::listener;
    using peer = typename TypeParam::peer;
    temporary_directory dir;
    const std::string path = dir / "s";
    listener l = must(listener::bind(path));
    EXPECT_TRUE(dir.has("s"));
    EXPECT_EQ(l.local_address().path(), path);
    peer client = must(peer::dial(path));
    peer server = must(l.accept());
    EXPECT_EQ(client.remote_address().path(), path);
    EXPECT_EQ(server.local_address().path(), path);
    EXPECT_EQ(server.remote_address().path(), "");
    EXPECT_EQ(must(client.credentials()).pid, ::getpid());
    EXPECT_EQ(must(server.credentials()).uid, ::getuid());
    l.close();
    EXPECT_FALSE(dir.has("s"));
    EXPECT_EQ(errno_of(peer::dial(path).status()), ENOENT);
    listener again = must(listener::bind(path));
  });
}

TYPED_TEST(UnixListeners, AbstractNamesHaveNoFile) {
  run([] {
    using listener = typename TypeParam::listener;
    using peer = typename TypeParam::peer;
    const std::string name = "@baton-test." + std::to_string(::getpid());
    listener l = must(listener::bind(name));
    EXPECT_EQ(l.local_address().to_string(), name);
    EXPECT_EQ(errno_of(listener::bind(name).status()), EADDRINUSE);
    EXPECT_EQ(errno_of(listener::bind(name, {.replace_stale = true}).status()), EADDRINUSE);
    peer client = must(peer::dial(name));
    peer server = must(l.accept());
    l.close();
    EXPECT_EQ(errno_of(peer::dial(name).status()), ECONNREFUSED);
    listener chosen = must(listener::bind("@"));  // the kernel chooses
    const std::string its = chosen.local_address().to_string();
    EXPECT_GT(its.size(), 1u);
    peer other = must(peer::dial(its));
    const std::string longest = "@" + std::string(107, 'x');
    listener with_longest = must(listener::bind(longest));
    EXPECT_EQ(with_longest.local_address().to_string(), longest);
    peer third = must(peer::dial(longest));
  });
}

TYPED_TEST(UnixListeners, WrongPathsAreErrors) {
  run([] {
    using listener = typename TypeParam::listener;
    using peer = typename TypeParam::peer;
    temporary_directory dir;
    for (const std::string& bad : {std::string(), std::string("a\0b", 3), std::string("@a\0b", 4),
                                   std::string(108, 'x'), "/" + std::string(107, 'x'), "@" + std::string(108, 'x')}) {
      EXPECT_EQ(listener::bind(bad).status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(peer::dial(bad).status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(unix_datagram::bind(bad).status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(unix_datagram::connect(bad).status().code(), absl::StatusCode::kInvalidArgument);
    }
    EXPECT_EQ(errno_of(listener::bind(dir / "no/such/directory").status()), ENOENT);
    EXPECT_EQ(peer::dial(dir / "s", {.local = "127.0.0.1:0"}).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(listener::bind(dir / "s", {.local = "x"}).status().code(), absl::StatusCode::kInvalidArgument);
    std::ofstream(dir / "file") << "text";
    EXPECT_EQ(errno_of(peer::dial(dir / "file").status()), ECONNREFUSED);
    const std::string longest = (dir / "").append(107 - (dir / "").size(), 'x');
    listener l = must(listener::bind(longest));
    peer client = must(peer::dial(longest));
    EXPECT_EQ(client.remote_address().path(), longest);
  });
}

// As in Go, a file that is left is an error, unless asked. A file that is not a stale socket is never replaced.
TYPED_TEST(UnixListeners, AStaleFileIsReplacedOnlyIfAsked) {
  run([] {
    using listener = typename TypeParam::listener;
    using peer = typename TypeParam::peer;
    temporary_directory dir;
    const std::string path = dir / "s";
    for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
      leave_stale(path, type);
      const absl::Status refused = listener::bind(path).status();
      EXPECT_EQ(errno_of(refused), EADDRINUSE) << refused;
      EXPECT_EQ(refused.message().find("listen " + path + ": "), 0u) << refused;
      EXPECT_TRUE(dir.has("s"));
      listener l = must(listener::bind(path, {.replace_stale = true}));
      peer client = must(peer::dial(path));
      // Now it is in use.
      EXPECT_EQ(errno_of(listener::bind(path, {.replace_stale = true}).status()), EADDRINUSE);
      (void)must(l.accept());
      pollfd more{l.native_handle(), POLLIN, 0};
      EXPECT_EQ(::poll(&more, 1, 0), 0);  // the probe was not a connection
      EXPECT_TRUE(peer::dial(path).ok());
      l.close();
      EXPECT_FALSE(dir.has("s"));
    }
    unix_datagram used = must(unix_datagram::bind(path));
    EXPECT_EQ(errno_of(listener::bind(path, {.replace_stale = true}).status()), EADDRINUSE);
    used.close();
    std::ofstream(path) << "precious";
    EXPECT_EQ(errno_of(listener::bind(path, {.replace_stale = true}).status()), EADDRINUSE);
    leave_stale(dir / "stale", TypeParam::type);
    ASSERT_EQ(::symlink((dir / "stale").c_str(), (dir / "link").c_str()), 0);
    EXPECT_EQ(errno_of(listener::bind(dir / "link", {.replace_stale = true}).status()), EADDRINUSE);
    ASSERT_EQ(::mkdir((dir / "directory").c_str(), 0700), 0);
    EXPECT_EQ(errno_of(listener::bind(dir / "directory", {.replace_stale = true}).status()), EADDRINUSE);
    EXPECT_TRUE(dir.has("s") && dir.has("link") && dir.has("stale") && dir.has("directory"));
  });
}

TYPED_TEST(UnixListeners, RemoveOnlyTheirOwnFile) {
  run([] {
    using listener = typename TypeParam::listener;
    using peer = typename TypeParam::peer;
    temporary_directory dir;
    const std::string path = dir / "s";
    listener old = must(listener::bind(path));
    // A successor takes the path over.
    listener next = must(listener::bind(dir / "new"));
    ASSERT_EQ(::rename((dir / "new").c_str(), path.c_str()), 0);
    old.close();
    EXPECT_TRUE(dir.has("s"));
    peer client = must(peer::dial(path));
    EXPECT_TRUE(next.accept().ok());
    next.close();  // it was made under another name
    EXPECT_TRUE(dir.has("s"));
    ASSERT_EQ(::unlink(path.c_str()), 0);

    listener kept = must(listener::bind(path, {.unlink_at_close = false}));
    kept.close();
    EXPECT_TRUE(dir.has("s"));
    listener released = must(listener::bind(path, {.replace_stale = true}));
    const sys::owned_fd number(released.release());
    EXPECT_TRUE(dir.has("s"));
    listener adopted = must(listener::adopt(number.get()));
    peer second = must(peer::dial(path));
    EXPECT_TRUE(adopted.accept().ok());
    (void)adopted.release();
    EXPECT_TRUE(dir.has("s"));
    {
      listener destroyed = must(listener::bind(dir / "d"));
      EXPECT_TRUE(dir.has("d"));
    }
    EXPECT_FALSE(dir.has("d"));
    ASSERT_EQ(::unlink(path.c_str()), 0);
    listener gone = must(listener::bind(path));
    ASSERT_EQ(::unlink(path.c_str()), 0);
    gone.close();
  });
}

TYPED_TEST(UnixListeners, TheModeIsThereFromTheBeginning) {
  run([] {
    using listener = typename TypeParam::listener;
    temporary_directory dir;
    const mode_t mask = ::umask(022);
    for (const mode_t mode : {0600U, 0777U, 0000U}) {
      listener l = must(listener::bind(dir / "s", {.mode = mode}));
      struct stat found {};
      ASSERT_EQ(::lstat((dir / "s").c_str(), &found), 0);
      EXPECT_EQ(found.st_mode & 07777, mode & ~022U);
    }
    ::umask(mask);
  });
}

TYPED_TEST(UnixListeners, EverythingEndsAnAccept) {
  run([] {
    using listener = typename TypeParam::listener;
    temporary_directory dir;
    struct made {
      listener socket;
    };
    expect_everything_ends(
        poll_side::read, [&] { return made{must(listener::bind(dir / "s"))}; },
        [](listener& l) { return l.accept().status(); });
    EXPECT_FALSE(dir.has("s"));
  });
}

// Errors of one connection do not end accept(), and a shortage is waited out.
TYPED_TEST(UnixListeners, AcceptOutlivesErrorsOfOneConnection) {
  run([] {
    using listener = typename TypeParam::listener;
    using peer = typename TypeParam::peer;
    temporary_directory dir;
    listener l = must(listener::bind(dir / "s"));
    with_failing_calls({SYS_accept4}, [&] {
      for (const int error : {ECONNABORTED, EPROTO, EPERM, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
        failing_calls::fail(SYS_accept4, error);
        peer client = must(peer::dial(dir / "s"));
        peer server = must(l.accept());
        EXPECT_EQ(failing_calls::left(), 0);
      }
      failing_calls::fail(SYS_accept4, EINVAL);
      EXPECT_EQ(errno_of(l.accept().status()), EINVAL);
    });
  });
}

TYPED_TEST(UnixListeners, ErrorsOfMakingOneComeOutAndLeaveNothing) {
  run([] {
    using listener = typename TypeParam::listener;
    temporary_directory dir;
    with_failing_calls({SYS_socket, SYS_bind, SYS_listen, SYS_getsockname}, [&] {
      (void)must(listener::bind(dir / "s"));
      const int before = open_descriptors();
      const struct {
        long call;
        std::vector<int> errors;
      } table[] = {{SYS_socket, {EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT}},
                   {SYS_bind, {EACCES, EADDRINUSE, ELOOP, ENOENT, ENOMEM, ENOTDIR, EROFS, ENOSPC, EIO}},
                   {SYS_listen, {EADDRINUSE, EOPNOTSUPP}},
                   {SYS_getsockname, {ENOBUFS}}};
      for (const auto& row : table) {
        for (const int error : row.errors) {
          failing_calls::fail(row.call, error);
          const absl::Status s = listener::bind(dir / "s").status();
          EXPECT_EQ(errno_of(s), error) << row.call << " " << s;
          EXPECT_EQ(failing_calls::left(), 0);
          EXPECT_FALSE(dir.has("s")) << row.call;
        }
      }
      EXPECT_EQ(open_descriptors(), before);
    });
  });
}

// connect(2) of a non-blocking Unix socket does not wait while the backlog is full. dial() does.
TYPED_TEST(UnixListeners, DialWaitsForRoomInTheBacklog) {
  run([] {
    using listener = typename TypeParam::listener;
    using peer = typename TypeParam::peer;
    temporary_directory dir;
    listener l = must(listener::bind(dir / "s", {.backlog = 1}));
    std::vector<peer> waiting;
    for (;;) {
      absl::StatusOr<peer> p = peer::dial(dir / "s", {.timeout = 5ms});
      if (!p.ok()) {
        EXPECT_EQ(p.status().code(), absl::StatusCode::kDeadlineExceeded) << p.status();
        break;
      }
      waiting.push_back(*std::move(p));
    }
    ASSERT_FALSE(waiting.empty());
    const cancellable_context ctx = with_cancel(context::background());
    auto cancelled = spawn([&] { return peer::dial(dir / "s", {.ctx = ctx}).status(); });
    this_fiber::yield();
    ctx.cancel(absl::AbortedError("the test says so"));
    EXPECT_EQ(cancelled.join().code(), absl::StatusCode::kAborted);
    auto patient = spawn([&] { return peer::dial(dir / "s", {.timeout = 1h}); });
    for (std::size_t i = 0; i <= waiting.size(); ++i) EXPECT_TRUE(l.accept().ok());
    EXPECT_TRUE(patient.join().ok());
    EXPECT_EQ(peer::dial(dir / "s", {.timeout = 0s}).status().code(), absl::StatusCode::kDeadlineExceeded);
  });
}

// Connections made, used and closed while others are.
TYPED_TEST(UnixListeners, AStormOfConnectionsLeavesNothing) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          using listener = typename TypeParam::listener;
          using peer = typename TypeParam::peer;
          temporary_directory dir;
          listener l = must(listener::bind(dir / "s"));
          (void)must(peer::dial(dir / "s"));
          (void)must(l.accept());
          const int before = open_descriptors();
          auto server = spawn([&] {
            std::vector<fiber<void>> all;
            for (int i = 0; i < 400; ++i) {
              all.push_back(spawn([p = must(l.accept())]() mutable {
                char byte[1];
                sys::owned_fd none;
                (void)p.receive_fds(byte, {&none, 1});
              }));
            }
            for (auto& f : all) f.join();
          });
          std::vector<fiber<void>> clients;
          for (int w = 0; w < 8; ++w) {
            clients.push_back(spawn([&, w] {
              for (int i = 0; i < 50; ++i) {
                peer p = must(peer::dial(dir / "s"));
                if ((w + i) % 2 == 0) (void)p.send_fd(0);
              }
            }));
          }
          for (auto& c : clients) c.join();
          server.join();
          EXPECT_EQ(open_descriptors(), before);
        },
        {.procs = procs_now});
  }
}

TEST(UnixListener, APeerOfAnotherTypeIsRefused) {
  run([] {
    temporary_directory dir;
    unix_listener l = must(unix_listener::bind(dir / "s"));
    EXPECT_EQ(errno_of(unix_seqpacket::dial(dir / "s").status()), EPROTOTYPE);
    EXPECT_EQ(errno_of(unix_datagram::connect(dir / "s").status()), EPROTOTYPE);
    unix_listener none;
    EXPECT_EQ(none.accept().status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(none.local_address(), address());
  });
}

}  // namespace
}  // namespace baton::net::test
