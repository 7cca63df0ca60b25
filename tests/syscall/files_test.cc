// Files, names and descriptors through the typed calls.
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/processes.h>

#include <sys/ioctl.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "syscall/provoked.h"
#include "syscall/temporary_directory.h"

namespace {

namespace sys = baton::sys;
using baton_test::expect_errors;
using sys::owned_fd;

struct pipe_ends {
  explicit pipe_ends(int flags = 0) {
    const auto ends = sys::pipe2(flags | O_CLOEXEC).value();
    in = owned_fd(ends[0]);
    out = owned_fd(ends[1]);
  }
  owned_fd in, out;
};

bool is_open(int fd) { return sys::fcntl(fd, F_GETFD).has_value(); }

// Every text that becomes a C string.
TEST(Files, NamesWithANulAreRefused) {
  const temporary_directory dir;
  const std::string path = dir / "f";
  const owned_fd fd(sys::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
  ASSERT_TRUE(sys::write(fd.get(), "content"));
  const std::string cut = path + std::string("\0.txt", 5);
  char buffer[8];
  EXPECT_EQ(sys::open(cut, O_RDWR | O_TRUNC).error(), EINVAL);
  EXPECT_EQ(sys::open(std::string_view(cut), O_RDWR | O_TRUNC).error(), EINVAL);
  EXPECT_EQ(sys::truncate(cut, 0).error(), EINVAL);
  EXPECT_EQ(sys::stat(cut).error(), EINVAL);
  EXPECT_EQ(sys::lstat(cut).error(), EINVAL);
  EXPECT_EQ(sys::mkdir(dir / std::string("d\0x", 3), 0700).error(), EINVAL);
  EXPECT_EQ(sys::rmdir(cut).error(), EINVAL);
  EXPECT_EQ(sys::unlink(cut).error(), EINVAL);
  EXPECT_EQ(sys::rename(cut, dir / "g").error(), EINVAL);
  EXPECT_EQ(sys::rename(path, dir / std::string("g\0", 2)).error(), EINVAL);
  EXPECT_EQ(sys::link(cut, dir / "g").error(), EINVAL);
  EXPECT_EQ(sys::link(path, dir / std::string("g\0", 2)).error(), EINVAL);
  EXPECT_EQ(sys::symlink(std::string("t\0", 2), dir / "g").error(), EINVAL);
  EXPECT_EQ(sys::symlink("t", dir / std::string("g\0", 2)).error(), EINVAL);
  EXPECT_EQ(sys::chmod(cut, 0).error(), EINVAL);
  EXPECT_EQ(sys::chown(cut, 0, 0).error(), EINVAL);
  EXPECT_EQ(sys::readlink(cut, buffer).error(), EINVAL);
  ::open_how how{};
  EXPECT_EQ(sys::openat2(AT_FDCWD, cut, how).error(), EINVAL);
  EXPECT_EQ(sys::fstat(fd.get())->st_size, 7);
  EXPECT_FALSE(sys::stat(dir / "g"));
  EXPECT_FALSE(sys::stat(dir / "d"));
}

TEST(Files, NamesAreAnyText) {
  const temporary_directory dir;
  const std::string path = dir / "f";
  EXPECT_TRUE(sys::mkdir(path.c_str(), 0700));
  EXPECT_TRUE(sys::stat(path));
  EXPECT_TRUE(sys::stat(std::string_view(path + "xyz").substr(0, path.size())));  // no NUL behind it
  EXPECT_EQ(sys::stat(static_cast<const char*>(nullptr)).error(), EFAULT);
}

TEST(Files, Openat2StaysBelow) {
  const temporary_directory dir;
  const owned_fd at(sys::open(dir.path(), O_PATH | O_DIRECTORY | O_CLOEXEC).value());
  ASSERT_TRUE(sys::mkdir(dir / "d", 0700));
  ::open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH;
  const auto below = sys::openat2(at.get(), "d", how);
  if (below.error() == ENOSYS) GTEST_SKIP() << "no openat2 here";
  const owned_fd fd(below.value());
  EXPECT_EQ(sys::openat2(at.get(), "..", how).error(), EXDEV);
}

TEST(Files, IoctlAsksTheDriver) {
  const pipe_ends pipe;
  ASSERT_TRUE(sys::write(pipe.out.get(), "abc"));
  int waiting = 0;
  EXPECT_TRUE(sys::ioctl(pipe.in.get(), FIONREAD, &waiting));
  EXPECT_EQ(waiting, 3);
  EXPECT_TRUE(sys::ioctl(pipe.in.get(), FIOCLEX));
  EXPECT_EQ(sys::ioctl(-1, FIOCLEX).error(), EBADF);
  EXPECT_EQ(sys::ioctl(pipe.in.get(), FIONREAD, reinterpret_cast<void*>(std::uintptr_t{8})).error(), EFAULT);
  EXPECT_EQ(sys::ioctl(pipe.in.get(), 0xdead).error(), ENOTTY);
}

TEST(Files, CloseRangeClosesThemAll) {
  constexpr int first = 700;
  const pipe_ends pipe;
  for (int fd = first; fd < first + 3; ++fd) ASSERT_TRUE(sys::dup3(pipe.in.get(), fd, O_CLOEXEC));
  if (sys::close_range(first, first + 1, 0).error() == ENOSYS) GTEST_SKIP() << "no close_range here";
  EXPECT_FALSE(is_open(first));
  EXPECT_FALSE(is_open(first + 1));
  EXPECT_TRUE(is_open(first + 2));
  EXPECT_TRUE(sys::close_range(first, first + 2, 0)) << "numbers that are not open count for nothing";
  EXPECT_FALSE(is_open(first + 2));
  EXPECT_EQ(sys::close_range(2, 1, 0).error(), EINVAL);
  EXPECT_EQ(sys::close_range(first, first, 0x4000'0000).error(), EINVAL);
}

TEST(Files, RoundTrip) {
  const temporary_directory dir;
  const std::string path = dir / "file";
  const owned_fd fd(sys::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640).value());
  EXPECT_EQ(*sys::write(fd.get(), "hello world"), 11U);
  EXPECT_TRUE(sys::fsync(fd.get()));
  EXPECT_TRUE(sys::fdatasync(fd.get()));
  EXPECT_EQ(*sys::lseek(fd.get(), 0, SEEK_SET), 0);
  std::string text(32, '\0');
  EXPECT_EQ(*sys::read(fd.get(), text), 11U);
  EXPECT_EQ(text.substr(0, 11), "hello world");
  EXPECT_EQ(*sys::read(fd.get(), text), 0U);  // the end

  EXPECT_EQ(*sys::pwrite(fd.get(), "W", 6), 1U);
  EXPECT_EQ(*sys::pread(fd.get(), baton::bytes(text).first(5), 6), 5U);
  EXPECT_EQ(text.substr(0, 5), "World");
  EXPECT_TRUE(sys::ftruncate(fd.get(), 4));
  EXPECT_EQ(sys::fstat(fd.get())->st_size, 4);
  EXPECT_TRUE(sys::truncate(path.c_str(), 2));
  struct ::stat s {};
  EXPECT_TRUE(sys::stat(path.c_str(), &s));
  EXPECT_EQ(s.st_size, 2);
  EXPECT_EQ(s.st_ino, sys::fstat(fd.get())->st_ino);
  EXPECT_TRUE(S_ISREG(s.st_mode));
}

TEST(Files, Vectors) {
  const temporary_directory dir;
  const owned_fd fd(sys::open((dir / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
  const std::array<::iovec, 2> from = {baton::as_iovec(baton::const_bytes("abc")),
                                       baton::as_iovec(baton::const_bytes("defg"))};
  EXPECT_EQ(*sys::writev(fd.get(), from), 7U);
  EXPECT_EQ(*sys::pwritev(fd.get(), from, 7), 7U);
  std::string a(2, '\0');
  std::string b(3, '\0');
  const std::array<::iovec, 2> into = {baton::as_iovec(baton::bytes(a)), baton::as_iovec(baton::bytes(b))};
  EXPECT_EQ(*sys::preadv(fd.get(), into, 7), 5U);
  EXPECT_EQ(a + b, "abcde");
  EXPECT_EQ(*sys::lseek(fd.get(), 1, SEEK_SET), 1);
  EXPECT_EQ(*sys::readv(fd.get(), into), 5U);
  EXPECT_EQ(a + b, "bcdef");
  EXPECT_EQ(*sys::nb::preadv2(fd.get(), into, 2, 0), 5U);
  EXPECT_EQ(a + b, "cdefg");
  EXPECT_EQ(*sys::preadv2(fd.get(), into, -1, 0), 5U) << "goes on at the file's offset, 6";
  EXPECT_EQ(a + b, "gabcd");
  EXPECT_EQ(*sys::preadv2(fd.get(), into, 0, RWF_HIPRI), 5U);
  EXPECT_EQ(a + b, "abcde");
  EXPECT_EQ(*sys::pwritev2(fd.get(), from, 0, RWF_APPEND), 7U) << "wherever the offset says";
  EXPECT_EQ(sys::fstat(fd.get())->st_size, 21);
  EXPECT_EQ(*sys::pwritev2(fd.get(), from, 20, RWF_DSYNC), 7U);
  EXPECT_EQ(*sys::preadv2(fd.get(), into, 20, 0), 5U);
  EXPECT_EQ(a + b, "abcde");
  constexpr int no_such_flag = 0x4000'0000;
  expect_errors({{"read: flag", sys::preadv2(fd.get(), into, 0, no_such_flag).error(), EOPNOTSUPP},
                 {"write: flag", sys::pwritev2(fd.get(), from, 0, no_such_flag).error(), EOPNOTSUPP},
                 {"read: offset", sys::preadv2(fd.get(), into, -2, 0).error(), EINVAL},
                 {"write: offset", sys::pwritev2(fd.get(), from, -2, 0).error(), EINVAL},
                 {"read: none", sys::preadv2(-1, into, 0, 0).error(), EBADF},
                 {"write: none", sys::pwritev2(-1, from, 0, 0).error(), EBADF}});
}

TEST(Files, Names) {
  const temporary_directory dir;
  const std::string sub = dir / "sub";
  const std::string one = dir / "one";
  const std::string two = dir / "two";
  const std::string soft = dir / "soft";
  EXPECT_TRUE(sys::mkdir(sub.c_str(), 0700));
  EXPECT_EQ(sys::mkdir(sub.c_str(), 0700).error(), EEXIST);
  EXPECT_TRUE(sys::rmdir(sub.c_str()));
  EXPECT_EQ(sys::stat(sub.c_str()).error(), ENOENT);

  (void)owned_fd(sys::open(one.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600).value());
  EXPECT_TRUE(sys::link(one.c_str(), two.c_str()));
  EXPECT_EQ(sys::stat(two.c_str())->st_nlink, 2U);
  EXPECT_TRUE(sys::unlink(one.c_str()));
  EXPECT_TRUE(sys::rename(two.c_str(), one.c_str()));
  EXPECT_TRUE(sys::chmod(one.c_str(), 0400));
  EXPECT_EQ(sys::stat(one.c_str())->st_mode & 07777, 0400U);
  EXPECT_TRUE(sys::chown(one.c_str(), ::getuid(), ::getgid()));

  EXPECT_TRUE(sys::symlink("one", soft.c_str()));
  EXPECT_TRUE(S_ISLNK(sys::lstat(soft.c_str())->st_mode));
  EXPECT_TRUE(S_ISREG(sys::stat(soft.c_str())->st_mode));
  std::string target(16, '\0');
  EXPECT_EQ(*sys::readlink(soft.c_str(), target), 3U);
  EXPECT_EQ(target.substr(0, 3), "one");
  EXPECT_EQ(*sys::readlink(soft.c_str(), baton::bytes(target).first(2)), 2U);

  const owned_fd listing(sys::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC).value());
  std::vector<std::byte> entries(4096);
  EXPECT_GT(*sys::getdents(listing.get(), entries), 0U);
  EXPECT_EQ(*sys::getdents(listing.get(), entries), 0U);
}

TEST(Files, ErrorsCarryErrnoAndLeaveTheThreadsAlone) {
  std::string room(8, '\0');
  errno = 77;
  EXPECT_EQ(sys::open("/no/such/file", O_RDONLY).error(), ENOENT);
  EXPECT_EQ(sys::read(-1, room).error(), EBADF);
  EXPECT_EQ(sys::write(-1, "x").error(), EBADF);
  EXPECT_EQ(sys::close(-1).error(), EBADF);
  EXPECT_EQ(sys::dup(-1).error(), EBADF);
  EXPECT_EQ(sys::fcntl(-1, F_GETFL).error(), EBADF);
  EXPECT_EQ(sys::flock(-1, LOCK_SH).error(), EBADF);
  EXPECT_EQ(sys::nb::read(-1, room).error(), EBADF);
  const int kept = errno;
  EXPECT_EQ(kept, 77);
}

TEST(Files, BadPointersAreEfault) {
  const pipe_ends p;
  char* const nowhere = reinterpret_cast<char*>(8);
  EXPECT_EQ(sys::write(p.out.get(), baton::const_bytes(nowhere, 1)).error(), EFAULT);
  ASSERT_EQ(*sys::write(p.out.get(), "x"), 1U);
  EXPECT_EQ(sys::read(p.in.get(), baton::bytes(nowhere, 1)).error(), EFAULT);
  EXPECT_EQ(sys::open(nowhere, O_RDONLY).error(), EFAULT);
  EXPECT_EQ(sys::stat("/", reinterpret_cast<struct ::stat*>(nowhere)).error(), EFAULT);
}

TEST(Files, APipeBringsBytesAndThenItsEnd) {
  pipe_ends p;
  EXPECT_EQ(*sys::write(p.out.get(), "abc"), 3U);
  EXPECT_TRUE(sys::close(p.out.release()));
  std::string text(8, '\0');
  EXPECT_EQ(*sys::read(p.in.get(), text), 3U);
  EXPECT_EQ(text.substr(0, 3), "abc");
  EXPECT_EQ(*sys::read(p.in.get(), text), 0U);
}

TEST(Files, PartialWritesAndWouldBlockAreExposed) {
  const pipe_ends p(O_NONBLOCK);
  const int room = sys::fcntl(p.out.get(), F_SETPIPE_SZ, 4096).value();
  const std::string much(static_cast<std::size_t>(room) + 1000, 'x');
  EXPECT_EQ(*sys::write(p.out.get(), much), static_cast<std::size_t>(room));
  EXPECT_EQ(sys::write(p.out.get(), "x").error(), EAGAIN);
  EXPECT_EQ(sys::nb::write(p.out.get(), "x").error(), EAGAIN);
  std::string back(much.size(), '\0');
  EXPECT_EQ(*sys::nb::read(p.in.get(), back), static_cast<std::size_t>(room));
  EXPECT_EQ(sys::nb::read(p.in.get(), back).error(), EAGAIN);
}

TEST(Files, NobodyReadsIsEpipe) {
  auto* const former = ::signal(SIGPIPE, SIG_IGN);
  pipe_ends p;
  p.in.reset();
  EXPECT_EQ(sys::write(p.out.get(), "x").error(), EPIPE);
  ::signal(SIGPIPE, former);
}

TEST(Files, DescriptorsAreDuplicated) {
  const pipe_ends p;
  const owned_fd copy(sys::dup(p.out.get()).value());
  EXPECT_NE(copy.get(), p.out.get());
  EXPECT_EQ(*sys::write(copy.get(), "x"), 1U);
  const owned_fd third(sys::fcntl(p.in.get(), F_DUPFD_CLOEXEC, 0).value());
  EXPECT_EQ(*sys::fcntl(third.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(*sys::dup3(p.in.get(), copy.get(), O_CLOEXEC), copy.get());
  char c = 0;
  EXPECT_EQ(*sys::read(copy.get(), baton::bytes(&c, 1)), 1U);
  EXPECT_EQ(c, 'x');
}

TEST(Files, StatusFlags) {
  const pipe_ends p;
  const int flags = sys::fcntl(p.in.get(), F_GETFL).value();
  EXPECT_EQ(flags & O_NONBLOCK, 0);
  EXPECT_TRUE(sys::fcntl(p.in.get(), F_SETFL, flags | O_NONBLOCK));
  EXPECT_NE(*sys::fcntl(p.in.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(Files, FlockExcludesOtherOpenings) {
  const temporary_directory dir;
  const std::string path = dir / "lock";
  const owned_fd a(sys::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
  const owned_fd b(sys::open(path.c_str(), O_RDWR | O_CLOEXEC).value());
  EXPECT_TRUE(sys::flock(a.get(), LOCK_EX));
  EXPECT_EQ(sys::flock(b.get(), LOCK_EX | LOCK_NB).error(), EWOULDBLOCK);
  EXPECT_TRUE(sys::flock(a.get(), LOCK_UN));
  EXPECT_TRUE(sys::flock(b.get(), LOCK_EX | LOCK_NB));
}

TEST(Files, RecordLocksExcludeOtherOpenings) {
  const temporary_directory dir;
  const std::string path = dir / "lock";
  const owned_fd a(sys::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
  const owned_fd b(sys::open(path.c_str(), O_RDWR | O_CLOEXEC).value());
  struct ::flock whole {};
  whole.l_type = F_WRLCK;
  EXPECT_TRUE(sys::fcntl(a.get(), F_OFD_SETLKW, &whole));
  EXPECT_EQ(sys::fcntl(b.get(), F_OFD_SETLK, &whole).error(), EAGAIN);
}

TEST(Files, SendfileMovesFromAnOffset) {
  const temporary_directory dir;
  const owned_fd file(sys::open((dir / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
  ASSERT_EQ(*sys::write(file.get(), "0123456789"), 10U);
  const pipe_ends p;
  ::off_t offset = 4;
  EXPECT_EQ(*sys::sendfile(p.out.get(), file.get(), &offset, 3), 3U);
  EXPECT_EQ(offset, 7);
  EXPECT_EQ(*sys::nb::sendfile(p.out.get(), file.get(), &offset, 100), 3U);
  EXPECT_EQ(*sys::sendfile(p.out.get(), file.get(), &offset, 100), 0U);
  std::string text(8, '\0');
  EXPECT_EQ(*sys::read(p.in.get(), text), 6U);
  EXPECT_EQ(text.substr(0, 6), "456789");
}

TEST(Files, PollTellsWhatIsReady) {
  const pipe_ends p;
  std::array<::pollfd, 2> fds = {::pollfd{p.in.get(), POLLIN, 0}, ::pollfd{p.out.get(), POLLOUT, 0}};
  EXPECT_EQ(*sys::poll(std::span(fds).first(1), 0), 0);
  EXPECT_EQ(*sys::poll(fds, -1), 1);
  EXPECT_EQ(fds[0].revents, 0);
  EXPECT_EQ(fds[1].revents, POLLOUT);
  ASSERT_EQ(*sys::write(p.out.get(), "x"), 1U);
  EXPECT_EQ(*sys::poll(fds, 10'000), 2);
  EXPECT_EQ(fds[0].revents, POLLIN);
}

TEST(Files, UmaskGivesTheFormer) {
  const ::mode_t former = sys::umask(0077).value();
  EXPECT_EQ(*sys::umask(former), 0077U);
}

TEST(OwnedFd, ClosesWhatItHoldsOnce) {
  const auto ends = sys::pipe2(O_CLOEXEC).value();
  {
    const owned_fd a(ends[0]);
    EXPECT_TRUE(static_cast<bool>(a));
    EXPECT_TRUE(is_open(ends[0]));
  }
  EXPECT_FALSE(is_open(ends[0]));
  owned_fd b(ends[1]);
  owned_fd c = std::move(b);
  EXPECT_EQ(b.get(), -1);  // NOLINT(bugprone-use-after-move): what is left is what is asked
  EXPECT_EQ(c.get(), ends[1]);
  b = std::move(c);
  EXPECT_TRUE(is_open(ends[1]));
  const int fd = b.release();
  EXPECT_FALSE(static_cast<bool>(b));
  EXPECT_TRUE(is_open(fd));
  b.reset(fd);
  b.reset();
  EXPECT_FALSE(is_open(fd));
}

TEST(OwnedFd, AssignmentClosesTheFormerAndLeavesErrnoAlone) {
  const auto ends = sys::pipe2(O_CLOEXEC).value();
  owned_fd a(ends[0]);
  errno = 77;
  a = owned_fd(ends[1]);
  const int kept = errno;
  EXPECT_EQ(kept, 77);
  EXPECT_FALSE(is_open(ends[0]));
  EXPECT_EQ(a.get(), ends[1]);
}

}  // namespace
