// Descriptors that go through Unix sockets, and credentials.
#include "net_test_support.h"
#include "temporary_directory.h"

#include <baton/netpoll/unix_datagram.h>
#include <baton/netpoll/unix_seqpacket.h>
#include <baton/netpoll/unix_stream.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

bool same_file(int a, int b) {
  struct stat one {};
  struct stat two {};
  return ::fstat(a, &one) == 0 && ::fstat(b, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

struct pipe_fds {
  pipe_fds() {
    int both[2];
    if (::pipe2(&both[0], O_CLOEXEC) != 0) std::abort();
    reader.reset(both[0]);
    writer.reset(both[1]);
  }
  sys::owned_fd reader;
  sys::owned_fd writer;
};

template <class Socket>
class UnixDescriptors : public testing::Test {
 protected:
  UnixDescriptors() {
    run([this] {
      auto both = must(Socket::pair());
      a = std::move(both.first);
      b = std::move(both.second);
    });
  }
  void send_plain(const std::string& text) {
    if constexpr (requires { a.write(text); }) {
      must(a.write(text));
    } else {
      must(a.send(text));
    }
  }
  std::size_t receive_plain(bytes into) {
    if constexpr (requires { b.read(into); }) {
      return must(b.read(into));
    } else {
      return must(b.receive(into));
    }
  }

  Socket a;
  Socket b;
};
using all_sockets = testing::Types<unix_stream, unix_seqpacket, unix_datagram>;
TYPED_TEST_SUITE(UnixDescriptors, all_sockets);

TYPED_TEST(UnixDescriptors, ArriveOwnedAndCloseOnExec) {
  run([this] {
    pipe_fds p;
    ASSERT_TRUE(this->a.send_fd(p.writer.get()).ok());
    sys::owned_fd got = must(this->b.receive_fd());
    EXPECT_NE(got.get(), p.writer.get());
    EXPECT_TRUE(same_file(got.get(), p.writer.get()));
    EXPECT_EQ(::fcntl(got.get(), F_GETFD), FD_CLOEXEC);
    p.writer.reset();
    ASSERT_EQ(::write(got.get(), "x", 1), 1);
    got.reset();  // the last writer
    char buffer[2];
    EXPECT_EQ(::read(p.reader.get(), buffer, 2), 1);
    EXPECT_EQ(::read(p.reader.get(), buffer, 2), 0);
  });
}

TYPED_TEST(UnixDescriptors, ComeWithTheirData) {
  run([this] {
    pipe_fds p;
    const int fds[] = {p.reader.get(), p.writer.get(), p.reader.get()};
    ASSERT_TRUE(this->a.send_fds(fds, "three").ok());
    this->send_plain("none");
    char buffer[20];
    sys::owned_fd got[4];
    unix_message m = must(this->b.receive_fds(buffer, got));
    EXPECT_EQ(std::string(buffer, m.size), "three");  // not beyond, also on a stream
    EXPECT_EQ(m.fds, 3u);
    EXPECT_FALSE(m.fds_lost);
    EXPECT_FALSE(m.truncated);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(same_file(got[i].get(), fds[i]));
    EXPECT_FALSE(got[3]);
    m = must(this->b.receive_fds(buffer, got));
    EXPECT_EQ(std::string(buffer, m.size), "none");
    EXPECT_EQ(m.fds, 0u);
    EXPECT_FALSE(m.fds_lost);
  });
}

// More come than there is room for, or than are asked for, or they are not asked for at all: none stays open.
TYPED_TEST(UnixDescriptors, WithoutRoomAreClosedAndTold) {
  run([this] {
    pipe_fds p;
    const std::vector<int> many(253, p.reader.get());
    const int before = open_descriptors();
    char buffer[20];
    for (const std::size_t room : {0U, 1U, 2U, 252U}) {
      ASSERT_TRUE(this->a.send_fds(many).ok());
      std::vector<sys::owned_fd> got(room);
      const unix_message m = must(this->b.receive_fds(buffer, got));
      EXPECT_EQ(m.fds, room);
      EXPECT_TRUE(m.fds_lost);
      EXPECT_EQ(open_descriptors(), before + static_cast<int>(room));
    }
    EXPECT_EQ(open_descriptors(), before);
    ASSERT_TRUE(this->a.send_fds(std::span(many).first(2)).ok());
    const absl::Status several = this->b.receive_fd().status();
    EXPECT_EQ(several.code(), absl::StatusCode::kFailedPrecondition) << several;
    EXPECT_EQ(open_descriptors(), before);
    ASSERT_TRUE(this->a.send_fds(many, "data").ok());
    EXPECT_EQ(this->receive_plain(buffer), 4u);
    EXPECT_EQ(open_descriptors(), before);
    std::vector<sys::owned_fd> all(253);
    ASSERT_TRUE(this->a.send_fds(many).ok());
    EXPECT_EQ(must(this->b.receive_fds(buffer, all)).fds, 253u);
    const std::vector<int> too_many(254, p.reader.get());
    EXPECT_EQ(errno_of(this->a.send_fds(too_many)), EINVAL);
  });
}

TYPED_TEST(UnixDescriptors, DataWithoutOneIsAnErrorOfReceiveFd) {
  run([this] {
    this->send_plain("x");
    const absl::Status s = this->b.receive_fd().status();
    EXPECT_EQ(s.code(), absl::StatusCode::kFailedPrecondition) << s;
    if constexpr (!std::is_same_v<TypeParam, unix_datagram>) {
      this->a.close();
      EXPECT_EQ(this->b.receive_fd().status().code(), absl::StatusCode::kOutOfRange);
    }
  });
}

TYPED_TEST(UnixDescriptors, WrongArgumentsAreErrorsAndSendNothing) {
  run([this] {
    EXPECT_EQ(errno_of(this->a.send_fd(-1)), EBADF);
    EXPECT_EQ(errno_of(this->a.send_fd(1'000'000)), EBADF);
    if constexpr (!std::is_same_v<TypeParam, unix_datagram>) {
      EXPECT_EQ(this->a.send_fd(0, "").code(), absl::StatusCode::kInvalidArgument);
    }
    ASSERT_TRUE(this->a.send_fds({}, "plain").ok());
    char buffer[10];
    sys::owned_fd fd;
    const unix_message m = must(this->b.receive_fds(buffer, {&fd, 1}));
    EXPECT_EQ(std::string(buffer, m.size), "plain");
    EXPECT_EQ(m.fds, 0u);
  });
}

// The process may have no more descriptors: the call reports it, nothing leaks, and the next one arrives.
TYPED_TEST(UnixDescriptors, WithoutDescriptorsItSaysSoAndRecovers) {
  run([this] {
    pipe_fds p;
    const int several[] = {p.reader.get(), p.writer.get()};
    ASSERT_TRUE(this->a.send_fd(p.writer.get()).ok());
    ASSERT_TRUE(this->a.send_fds(several).ok());
    char buffer[2];
    sys::owned_fd got[2];
    rlimit former{};
    ::getrlimit(RLIMIT_NOFILE, &former);
    std::vector<int> fill;
    const rlimit few{64, former.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) fill.push_back(fd);
    const absl::Status none = this->b.receive_fd().status();
    if (!fill.empty()) {  // room for one
      ::close(fill.back());
      fill.pop_back();
    }
    const absl::StatusOr<unix_message> one = this->b.receive_fds(buffer, got);
    for (const int fd : fill) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &former);
    EXPECT_EQ(errno_of(none), EMFILE) << none;
    ASSERT_TRUE(one.ok());
    EXPECT_EQ(one->fds, 1u);
    EXPECT_TRUE(one->fds_lost);
    ASSERT_TRUE(this->a.send_fd(p.writer.get()).ok());
    EXPECT_TRUE(same_file(must(this->b.receive_fd()).get(), p.writer.get()));
  });
}

// Several senders of descriptors with data that does not fit at once, and several receivers.
TYPED_TEST(UnixDescriptors, ManyAtOnceAllArrive) {
  run([this] {
    pipe_fds p;
    const int before = open_descriptors();
    constexpr int each = 100;
    std::vector<fiber<void>> all;
    for (int k = 0; k < 3; ++k) {
      all.push_back(spawn([&] {
        for (int i = 0; i < each; ++i) ASSERT_TRUE(this->a.send_fd(p.writer.get()).ok());
      }));
      all.push_back(spawn([&] {
        for (int i = 0; i < each; ++i) ASSERT_TRUE(same_file(must(this->b.receive_fd()).get(), p.writer.get()));
      }));
    }
    for (auto& f : all) f.join();
    EXPECT_EQ(open_descriptors(), before);
  });
}

// Descriptors that were sent and not received are closed with the sockets.
TYPED_TEST(UnixDescriptors, UnderWayAreClosedWithTheSockets) {
  run([this] {
    pipe_fds p;
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(this->a.send_fd(p.writer.get()).ok());
    p.writer.reset();
    this->a.close();
    this->b.close();
    char buffer[1];
    EXPECT_EQ(::read(p.reader.get(), buffer, 1), 0);
  });
}

TYPED_TEST(UnixDescriptors, ThePeersCredentials) {
  run([this] {
    const peer_credentials c = must(this->a.credentials());
    EXPECT_EQ(c.pid, ::getpid());
    EXPECT_EQ(c.uid, ::geteuid());
    EXPECT_EQ(c.gid, ::getegid());
  });
}

// On a stream the descriptor goes once, with the first byte, also if the data goes in many pieces.
TEST(UnixDescriptorsOfStreams, GoOnceWithDataOfAnySize) {
  run([] {
    auto both = must(unix_stream::pair());
    pipe_fds p;
    const std::string text(1 << 20, 'x');
    auto sends = spawn([&] { return both.first.send_fd(p.writer.get(), text); });
    std::string buffer(1 << 16, '\0');
    std::size_t size = 0;
    std::size_t fds = 0;
    while (size < text.size()) {
      sys::owned_fd fd;
      const unix_message m = must(both.second.receive_fds(buffer, {&fd, 1}));
      if (size == 0) {
        EXPECT_EQ(m.fds, 1u);
      }
      size += m.size;
      fds += m.fds;
    }
    EXPECT_TRUE(sends.join().ok());
    EXPECT_EQ(fds, 1u);
    EXPECT_EQ(both.second.receive_fds(bytes(), {}).status().code(), absl::StatusCode::kInvalidArgument);
  });
}

// Control data of another kind, with a descriptor in it, on a socket whose options a program has set.
TEST(UnixDescriptorsOfStreams, OtherControlDataDoesNotLeak) {
  run([] {
    auto both = must(unix_stream::pair());
    const int on = 1;
    constexpr int so_passpidfd = 76;
    (void)::setsockopt(both.second.native_handle(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    (void)::setsockopt(both.second.native_handle(), SOL_SOCKET, so_passpidfd, &on, sizeof on);  // Linux 6.5
    (void)::setsockopt(both.second.native_handle(), SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
    const int before = open_descriptors();
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(both.first.send_fd(0).ok());
      EXPECT_TRUE(must(both.second.receive_fd()));
    }
    EXPECT_EQ(open_descriptors(), before);
  });
}

TEST(UnixDescriptorsOfPackets, TellWhatIsCutOff) {
  run([] {
    auto both = must(unix_seqpacket::pair());
    ASSERT_TRUE(both.first.send_fd(0, "0123456789").ok());
    ASSERT_TRUE(both.first.send_fd(0, "0123456789").ok());
    char buffer[4];
    sys::owned_fd fd;
    const unix_message m = must(both.second.receive_fds(buffer, {&fd, 1}));
    EXPECT_TRUE(m.truncated);
    EXPECT_EQ(m.size, 4u);
    EXPECT_EQ(m.fds, 1u);
    EXPECT_TRUE(both.second.receive_fd().ok());
  });
}

}  // namespace
}  // namespace baton::net::test
