// The space of files and file systems, and extended attributes.
//
// Not provoked: EIO, ENOMEM, EDQUOT, ENOSYS, EFBIG (a file as large as the file system allows), EINTR of fallocate (it
// takes a file system that is slow at it).
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/storage.h>
#include <baton/syscall/xattr.h>

#include <linux/magic.h>
#include <cerrno>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "syscall/provoked.h"
#include "syscall/temporary_directory.h"

namespace {

namespace sys = baton::sys;
using baton_test::expect_errors;
using baton_test::nowhere;
using sys::owned_fd;

class Storage : public testing::Test {
 protected:
  Storage() {
    const auto ends = sys::pipe2(O_CLOEXEC).value();
    in = owned_fd(ends[0]), out = owned_fd(ends[1]);
    file = owned_fd(sys::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
    read_only = owned_fd(sys::open(path, O_RDONLY | O_CLOEXEC).value());
  }
  temporary_directory dir;
  const std::string path = dir / "f";
  const std::string with_nul = path + std::string("\0x", 2);
  owned_fd in, out, file, read_only;
};

TEST_F(Storage, Statfs) {
  const auto proc = sys::statfs("/proc");
  ASSERT_TRUE(proc) << proc.error();
  EXPECT_EQ(proc->f_type, PROC_SUPER_MAGIC);
  EXPECT_EQ(sys::fstatfs(file.get())->f_type, sys::statfs(dir.path())->f_type);
  EXPECT_GT(sys::fstatfs(file.get())->f_bsize, 0);
  expect_errors({{"none", sys::statfs(dir / "none").error(), ENOENT},
                 {"below a file", sys::statfs(path + "/x").error(), ENOTDIR},
                 {"too long", sys::statfs(dir / std::string(256, 'n')).error(), ENAMETOOLONG},
                 {"NUL", sys::statfs(with_nul).error(), EINVAL},
                 {"bad name", sys::statfs(nowhere<const char>()).error(), EFAULT},
                 {"bad", sys::statfs(path, nowhere<struct ::statfs>()).error(), EFAULT},
                 {"bad of a descriptor", sys::fstatfs(file.get(), nowhere<struct ::statfs>()).error(), EFAULT},
                 {"no descriptor", sys::fstatfs(-1).error(), EBADF}});
  ASSERT_TRUE(sys::symlink("loop", dir / "loop"));
  EXPECT_EQ(sys::statfs(dir / "loop").error(), ELOOP);
  baton_test::as_nobody([&] { EXPECT_EQ(sys::statfs(dir / "none").error(), EACCES); });
}

TEST_F(Storage, FallocateReserves) {
  const auto made = sys::fallocate(file.get(), 0, 0, 100'000);
  if (made.error() == EOPNOTSUPP) GTEST_SKIP() << "this file system cannot";
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(sys::fstat(file.get())->st_size, 100'000);
  EXPECT_GE(sys::fstat(file.get())->st_blocks * 512, 100'000);
  EXPECT_TRUE(sys::fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 100'000, 100'000));
  EXPECT_EQ(sys::fstat(file.get())->st_size, 100'000);
  const owned_fd directory(sys::open(dir.path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC).value());
  expect_errors({{"no descriptor", sys::fallocate(-1, 0, 0, 1).error(), EBADF},
                 {"not for writing", sys::fallocate(read_only.get(), 0, 0, 1).error(), EBADF},
                 {"a directory", sys::fallocate(directory.get(), 0, 0, 1).error(), EBADF},
                 {"a pipe", sys::fallocate(out.get(), 0, 0, 1).error(), ESPIPE},
                 {"length 0", sys::fallocate(file.get(), 0, 0, 0).error(), EINVAL},
                 {"negative", sys::fallocate(file.get(), 0, -1, 1).error(), EINVAL},
                 {"too far", sys::fallocate(file.get(), 0, INT64_MAX, 1).error(), EFBIG},
                 {"a mode that is none", sys::fallocate(file.get(), 0x4000'0000, 0, 1).error(), EOPNOTSUPP}});
  const owned_fd null(sys::open("/dev/null", O_WRONLY | O_CLOEXEC).value());
  EXPECT_EQ(sys::fallocate(null.get(), 0, 0, 1).error(), ENODEV);
  ASSERT_TRUE(sys::mkdir(dir / "small", 0700));
  baton_test::in_small_file_system(dir / "small", 64 * 1024, [](const std::string& small) {
    const owned_fd fd(sys::open(small + "/x", O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
    EXPECT_EQ(sys::fallocate(fd.get(), 0, 0, 1 << 20).error(), ENOSPC);
  });
}

TEST_F(Storage, WritingBackAndReadingAhead) {
  ASSERT_TRUE(sys::write(file.get(), std::string(100'000, 'x')));
  EXPECT_TRUE(sys::sync_file_range(file.get(), 0, 0, SYNC_FILE_RANGE_WRITE));
  EXPECT_TRUE(sys::posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
  EXPECT_TRUE(sys::posix_fadvise(file.get(), 0, 0, POSIX_FADV_WILLNEED));
  EXPECT_TRUE(sys::readahead(file.get(), 0, 100'000));
  expect_errors({{"fadvise", sys::posix_fadvise(-1, 0, 0, POSIX_FADV_NORMAL).error(), EBADF},
                 {"fadvise advice", sys::posix_fadvise(file.get(), 0, 0, 100).error(), EINVAL},
                 {"fadvise pipe", sys::posix_fadvise(in.get(), 0, 0, POSIX_FADV_NORMAL).error(), ESPIPE},
                 {"readahead", sys::readahead(-1, 0, 1).error(), EBADF},
                 {"readahead pipe", sys::readahead(in.get(), 0, 1).error(), EINVAL},
                 {"sync_file_range", sys::sync_file_range(-1, 0, 0, 0).error(), EBADF},
                 {"sync_file_range flags", sys::sync_file_range(file.get(), 0, 0, 0x100).error(), EINVAL},
                 {"sync_file_range offset", sys::sync_file_range(file.get(), -1, 0, 0).error(), EINVAL},
                 {"sync_file_range pipe", sys::sync_file_range(in.get(), 0, 0, 0).error(), ESPIPE},
                 {"syncfs", sys::syncfs(-1).error(), EBADF}});
  const owned_fd proc(sys::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC).value());
  EXPECT_TRUE(sys::syncfs(proc.get())) << "nothing to write there";
}

TEST_F(Storage, ExtendedAttributes) {
  const auto set = sys::setxattr(path, "user.origin", "here");
  if (set.error() == EOPNOTSUPP) GTEST_SKIP() << "this file system has none";
  ASSERT_TRUE(set) << set.error();
  char room[64];
  EXPECT_EQ(*sys::getxattr(path, "user.origin", room), 4U);
  EXPECT_EQ(std::string_view(&room[0], 4), "here");
  EXPECT_EQ(*sys::getxattr(path, "user.origin", baton::bytes()), 4U) << "the size";
  EXPECT_TRUE(sys::fsetxattr(file.get(), "user.b", "bin\0ary", XATTR_CREATE));
  EXPECT_EQ(*sys::fgetxattr(file.get(), "user.b", room), 7U);
  EXPECT_TRUE(sys::lsetxattr(path, "user.b", "", XATTR_REPLACE));
  EXPECT_EQ(*sys::lgetxattr(path, "user.b", room), 0U);
  std::string names(256, '\0');
  const std::size_t size = sys::listxattr(path, names).value();
  EXPECT_NE(names.substr(0, size).find(std::string("user.origin\0", 12)), std::string::npos);
  EXPECT_EQ(*sys::flistxattr(file.get(), names), size);
  EXPECT_EQ(*sys::llistxattr(path, baton::bytes()), size);
  EXPECT_TRUE(sys::lremovexattr(path, "user.b"));
  EXPECT_TRUE(sys::setxattr(path, "user.c", "c"));
  EXPECT_TRUE(sys::fremovexattr(file.get(), "user.c"));

  expect_errors(
      {{"exists", sys::setxattr(path, "user.origin", "x", XATTR_CREATE).error(), EEXIST},
       {"replaces none", sys::setxattr(path, "user.none", "x", XATTR_REPLACE).error(), ENODATA},
       {"flags", sys::setxattr(path, "user.x", "x", 64).error(), EINVAL},
       {"get none", sys::getxattr(path, "user.none", room).error(), ENODATA},
       {"get no room", sys::fgetxattr(file.get(), "user.origin", baton::bytes(&room[0], 2)).error(), ERANGE},
       {"list no room", sys::listxattr(path, baton::bytes(&room[0], 2)).error(), ERANGE},
       {"remove none", sys::removexattr(path, "user.none").error(), ENODATA},
       {"no namespace", sys::setxattr(path, "origin", "x").error(), EOPNOTSUPP},
       {"empty name", sys::setxattr(path, "", "x").error(), ERANGE},
       {"long name", sys::setxattr(path, "user." + std::string(260, 'n'), "x").error(), ERANGE},
       {"too large", sys::setxattr(path, "user.x", std::string(70'000, 'x')).error(), E2BIG},
       {"of a link", (void(sys::symlink("f", dir / "s")), sys::lsetxattr(dir / "s", "user.x", "x").error()), EPERM},
       {"NUL in the path", sys::getxattr(with_nul, "user.origin", room).error(), EINVAL},
       {"NUL in the name", sys::fgetxattr(file.get(), std::string("user.o\0", 7), room).error(), EINVAL},
       {"bad name", sys::getxattr(path, nowhere<const char>(), room).error(), EFAULT},
       {"bad path", sys::removexattr(nowhere<const char>(), "user.origin").error(), EFAULT},
       {"bad value", sys::setxattr(path, "user.x", baton::const_bytes(nowhere<char>(), 4)).error(), EFAULT},
       {"bad room", sys::getxattr(path, "user.origin", baton::bytes(nowhere<char>(), 8)).error(), EFAULT},
       {"no file", sys::getxattr(dir / "none", "user.origin", room).error(), ENOENT},
       {"below a file", sys::listxattr(path + "/x", room).error(), ENOTDIR},
       {"no descriptor", sys::flistxattr(-1, room).error(), EBADF},
       {"no descriptor to set", sys::fsetxattr(-1, "user.x", "x").error(), EBADF},
       {"no descriptor to remove", sys::fremovexattr(-1, "user.x").error(), EBADF}});
  EXPECT_TRUE(sys::removexattr(path, "user.origin"));
}

}  // namespace
