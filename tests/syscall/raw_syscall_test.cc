// The bare trap: all numbers and kinds of arguments, errors as values, errno left alone.
#include <baton/syscall/raw_syscall.h>
#include <baton/syscall/syscall.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>
#include <string>

#include <gtest/gtest.h>

namespace {

namespace sys = baton::sys;

static_assert(sys::syscall_argument<int> && sys::syscall_argument<unsigned long> && sys::syscall_argument<bool>);
static_assert(sys::syscall_argument<const char*> && sys::syscall_argument<std::nullptr_t>);
static_assert(sys::syscall_argument<void (*)(int)>);
static_assert(!sys::syscall_argument<double> && !sys::syscall_argument<std::string>);
template <class... Args>
concept traps = requires(Args... args) {
  sys::raw_syscall(0, args...);
};
static_assert(traps<int, int, int, int, int, int> && !traps<int, int, int, int, int, int, int> && !traps<float>);

enum class whence : int { begin = SEEK_SET };

TEST(RawSyscall, NoArgument) { EXPECT_EQ(*sys::raw_syscall(SYS_getpid), ::getpid()); }

TEST(RawSyscall, ThreeArgumentsPointersAmongThem) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  EXPECT_EQ(*sys::raw_syscall(SYS_write, fds[1], "abc", 3), 3);
  char buffer[8] = {};
  EXPECT_EQ(*sys::raw_syscall(SYS_read, fds[0], buffer, sizeof buffer), 3);
  EXPECT_STREQ(buffer, "abc");
  ::close(fds[0]);
  ::close(fds[1]);
}

TEST(RawSyscall, SixArgumentsEachInItsPlace) {
  const int fd = ::memfd_create("six", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  const long page = ::sysconf(_SC_PAGESIZE);
  ASSERT_EQ(::ftruncate(fd, 2 * page), 0);
  ASSERT_EQ(::pwrite(fd, "second", 6, page), 6);
  const auto at = sys::raw_syscall(SYS_mmap, nullptr, page, PROT_READ, MAP_SHARED, fd, page);
  ASSERT_TRUE(at) << at.error();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(*at), 6), "second");
  EXPECT_TRUE(sys::raw_syscall(SYS_munmap, reinterpret_cast<void*>(*at), page));
  ::close(fd);
}

TEST(RawSyscall, EnumerationsAndNegativeNumbers) {
  const int fd = ::memfd_create("seek", MFD_CLOEXEC);
  EXPECT_EQ(*sys::raw_syscall(SYS_lseek, fd, 5, whence::begin), 5);
  EXPECT_EQ(*sys::raw_syscall(SYS_lseek, fd, -2, SEEK_CUR), 3);
  ::close(fd);
}

TEST(RawSyscall, AnErrorIsAValueAndErrnoIsUntouched) {
  errno = 77;
  const auto bad = sys::raw_syscall(SYS_close, -1);
  const auto fine = sys::raw_syscall(SYS_getpid);
  const int kept = errno;
  EXPECT_EQ(bad.error(), EBADF);
  EXPECT_TRUE(fine);
  EXPECT_EQ(kept, 77);
  EXPECT_EQ(sys::raw_syscall(4000).error(), ENOSYS);
}

TEST(RawSyscall, ABadPointerIsEfault) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  EXPECT_EQ(sys::raw_syscall(SYS_write, fds[1], reinterpret_cast<const char*>(8), 1).error(), EFAULT);
  ::close(fds[0]);
  ::close(fds[1]);
}

TEST(Syscall, TellsTheSchedulerAndGivesTheSame) {
  errno = 77;
  const auto a = sys::syscall(SYS_getpid);
  const auto b = sys::syscall<SYS_getpid>();
  const auto c = sys::syscall(SYS_close, -1);
  const int kept = errno;
  EXPECT_EQ(*a, ::getpid());
  EXPECT_EQ(*b, ::getpid());
  EXPECT_EQ(c.error(), EBADF);
  EXPECT_EQ(kept, 77);
}

}  // namespace
