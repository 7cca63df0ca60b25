// The calls on memory.
//
// Not provoked: ENFILE and ENOMEM of the kernel itself, EIO of msync and madvise (a device that fails), EOVERFLOW
// (32-bit programs), ETXTBSY (MAP_DENYWRITE, which the kernel ignores), EHWPOISON.
#include <baton/syscall/files.h>
#include <baton/syscall/memory.h>
#include <baton/syscall/owned_fd.h>

#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "syscall/provoked.h"
#include "syscall/temporary_directory.h"

namespace {

namespace sys = baton::sys;
using baton_test::expect_errors;
using baton_test::nowhere;
using sys::owned_fd;

const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

char* anonymous(std::size_t length) {
  return static_cast<char*>(
      sys::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).value());
}

TEST(Memory, MapsAFileAndWritesItBack) {
  const temporary_directory dir;
  const owned_fd fd(sys::open(dir / "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
  ASSERT_TRUE(sys::ftruncate(fd.get(), static_cast<::off_t>(2 * page)));
  char* const at =
      static_cast<char*>(sys::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0).value());
  std::memcpy(at + page, "hello", 5);
  EXPECT_TRUE(sys::msync(at, 2 * page, MS_SYNC));
  std::string text(5, '\0');
  EXPECT_EQ(*sys::pread(fd.get(), text, static_cast<::off_t>(page)), 5U);
  EXPECT_EQ(text, "hello");
  unsigned char in_memory[2] = {};
  EXPECT_TRUE(sys::mincore(at, 2 * page, in_memory));
  EXPECT_EQ(in_memory[1] & 1, 1);
  EXPECT_EQ(sys::mincore(at, 2 * page + 1, in_memory).error(), EINVAL) << "no room for three";
  EXPECT_TRUE(sys::munmap(at, 2 * page));
  EXPECT_EQ(sys::mincore(at, 2 * page, in_memory).error(), ENOMEM);
  EXPECT_EQ(sys::msync(at, page, MS_SYNC).error(), ENOMEM);
}

TEST(Memory, GrowsMovesAndForgets) {
  char* at = anonymous(page);
  at[0] = 'a';
  at = static_cast<char*>(sys::mremap(at, page, 4 * page, MREMAP_MAYMOVE).value());
  EXPECT_EQ(at[0], 'a');
  at[3 * page] = 'b';
  char* const other = anonymous(page);
  EXPECT_EQ(*sys::mremap(at, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, other), other);
  EXPECT_EQ(other[0], 'a');
  EXPECT_TRUE(sys::madvise(other, page, MADV_DONTNEED));
  EXPECT_EQ(other[0], '\0');
  EXPECT_TRUE(sys::mprotect(other, page, PROT_READ));
  EXPECT_EQ(sys::read(-1, baton::bytes(other, 1)).error(), EBADF);
  const owned_fd zero(sys::open("/dev/zero", O_RDONLY | O_CLOEXEC).value());
  EXPECT_EQ(sys::read(zero.get(), baton::bytes(other, 1)).error(), EFAULT) << "which may not be written";
  EXPECT_TRUE(sys::munmap(other, page));
  EXPECT_TRUE(sys::munmap(at + page, 3 * page));
}

TEST(Memory, Locks) {
  char* const at = anonymous(2 * page);
  const auto locked = sys::mlock(at, page);
  if (locked.error() == EPERM || locked.error() == ENOMEM) GTEST_SKIP() << "not allowed here";
  EXPECT_TRUE(locked) << locked.error();
  EXPECT_TRUE(sys::mlock2(at, 2 * page, MLOCK_ONFAULT));
  EXPECT_TRUE(sys::munlock(at, 2 * page));
  EXPECT_TRUE(sys::munmap(at, 2 * page));
  expect_errors({{"not mapped", sys::mlock(at, page).error(), ENOMEM},
                 {"not mapped to unlock", sys::munlock(at, page).error(), ENOMEM},
                 {"flags", sys::mlock2(at, page, 64).error(), EINVAL},
                 {"flags of all", sys::mlockall(0).error(), EINVAL}});
  EXPECT_TRUE(sys::munlockall());
  const baton_test::lower_limit none(RLIMIT_MEMLOCK, 0);
  baton_test::as_nobody([] {
    char* const mine = anonymous(page);
    EXPECT_EQ(sys::mlock(mine, page).error(), EPERM);
    EXPECT_EQ(sys::mlockall(MCL_CURRENT).error(), EPERM);
    EXPECT_TRUE(sys::munmap(mine, page));
  });
}

TEST(Memory, WhatCanBeWrong) {
  const temporary_directory dir;
  const owned_fd read_only(sys::open(dir / "f", O_RDONLY | O_CREAT | O_CLOEXEC, 0600).value());
  const owned_fd write_only(sys::open(dir / "f", O_WRONLY | O_CLOEXEC).value());
  const owned_fd directory(sys::open(dir.path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC).value());
  constexpr int rw = PROT_READ | PROT_WRITE;
  constexpr int shared = MAP_SHARED, mine = MAP_PRIVATE, none = MAP_PRIVATE | MAP_ANONYMOUS;
  char* const at = anonymous(page);
  const auto map = [](void* where, std::size_t n, int may, int flags, int fd, ::off_t from) {
    return sys::mmap(where, n, may, flags, fd, from).error();
  };
  expect_errors({{"length 0", map(nullptr, 0, rw, none, -1, 0), EINVAL},
                 {"neither shared nor private", map(nullptr, page, rw, MAP_ANONYMOUS, -1, 0), EINVAL},
                 {"odd offset", map(nullptr, page, PROT_READ, mine, read_only.get(), 1), EINVAL},
                 {"odd address", map(at + 1, page, rw, none | MAP_FIXED, -1, 0), EINVAL},
                 {"no descriptor", map(nullptr, page, rw, mine, -1, 0), EBADF},
                 {"write a read-only file", map(nullptr, page, rw, shared, read_only.get(), 0), EACCES},
                 {"read a write-only file", map(nullptr, page, PROT_READ, mine, write_only.get(), 0), EACCES},
                 {"a directory", map(nullptr, page, PROT_READ, mine, directory.get(), 0), ENODEV},
                 {"too much", map(nullptr, SIZE_MAX / 2, rw, none, -1, 0), ENOMEM},
                 {"taken", map(at, page, rw, none | MAP_FIXED_NOREPLACE, -1, 0), EEXIST},
                 {"munmap odd", sys::munmap(at + 1, page).error(), EINVAL},
                 {"munmap nothing", sys::munmap(at, 0).error(), EINVAL},
                 {"mremap odd", sys::mremap(at + 1, page, page, 0).error(), EINVAL},
                 {"mremap flags", sys::mremap(at, page, page, 64).error(), EINVAL},
                 {"mremap nothing", sys::mremap(nowhere<char>() + 256, page, page * 2, 0).error(), EFAULT},
                 {"mprotect odd", sys::mprotect(at + 1, page, rw).error(), EINVAL},
                 {"mprotect nothing", sys::mprotect(nullptr, page, rw).error(), ENOMEM},
                 {"msync odd", sys::msync(at + 1, page, MS_SYNC).error(), EINVAL},
                 {"msync both", sys::msync(at, page, MS_SYNC | MS_ASYNC).error(), EINVAL},
                 {"madvise odd", sys::madvise(at + 1, page, MADV_NORMAL).error(), EINVAL},
                 {"madvise advice", sys::madvise(at, page, 1000).error(), EINVAL},
                 {"madvise nothing", sys::madvise(nullptr, page, MADV_NORMAL).error(), ENOMEM},
                 {"madvise no file", sys::madvise(at, page, MADV_REMOVE).error(), EINVAL},
                 {"mincore odd", sys::mincore(at + 1, 1, {nowhere<unsigned char>(), 1}).error(), EINVAL},
                 {"mincore bad", sys::mincore(at, 1, {nowhere<unsigned char>(), 1}).error(), EFAULT}});
  ASSERT_TRUE(sys::mlock(at, page));
  EXPECT_EQ(sys::msync(at, page, MS_INVALIDATE).error(), EBUSY);
  EXPECT_EQ(sys::madvise(at, page, MADV_DONTNEED).error(), EINVAL) << "locked";
  EXPECT_TRUE(sys::munmap(at, page));
  EXPECT_EQ(sys::mremap(at, page, page * 2, 0).error(), EFAULT);
  const owned_fd sealed(sys::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING).value());
  ASSERT_TRUE(sys::fcntl(sealed.get(), F_ADD_SEALS, F_SEAL_WRITE));
  EXPECT_EQ(map(nullptr, page, rw, shared, sealed.get(), 0), EPERM);
}

TEST(Memory, AFileInMemory) {
  const owned_fd fd(sys::memfd_create(std::string("baton"), MFD_CLOEXEC).value());
  EXPECT_EQ(*sys::write(fd.get(), "abc"), 3U);
  EXPECT_EQ(sys::fstat(fd.get())->st_size, 3);
  expect_errors({{"flags", sys::memfd_create("x", 0x4000'0000).error(), EINVAL},
                 {"long", sys::memfd_create(std::string(250, 'n'), 0).error(), EINVAL},
                 {"NUL", sys::memfd_create(std::string("a\0b", 3), 0).error(), EINVAL},
                 {"bad", sys::memfd_create(nowhere<const char>(), 0).error(), EFAULT}});
  const baton_test::lower_limit no_descriptor(RLIMIT_NOFILE, 0);
  EXPECT_EQ(sys::memfd_create("x", 0).error(), EMFILE);
}

}  // namespace
