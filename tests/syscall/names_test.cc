// The calls on paths: what they do, and the errors of their man pages.
//
// Not provoked: EIO, ENOMEM (a device or a kernel that fails), EDQUOT (quotas are to be set up), EMLINK (65,000 links
// first), EAGAIN and ETXTBSY of other systems' file systems, ENOSYS (an older kernel), EOVERFLOW (32-bit programs).
#include <baton/syscall/files.h>
#include <baton/syscall/names.h>
#include <baton/syscall/owned_fd.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>

#include <gtest/gtest.h>

#include "syscall/provoked.h"
#include "syscall/temporary_directory.h"

namespace {

namespace sys = baton::sys;
using baton_test::expect_errors;
using baton_test::nowhere;
using sys::owned_fd;

// A directory with a file f, a directory d that is not empty, a symbolic link s to f, and one that leads to itself.
class Names : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sys::mkdir(d, 0700));
    for (const std::string& path : {f, d + "/inner"}) {
      (void)owned_fd(sys::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600).value());
    }
    ASSERT_TRUE(sys::symlink("f", s));
    ASSERT_TRUE(sys::symlink("loop", loop));
    at = owned_fd(sys::open(dir.path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC).value());
    file = owned_fd(sys::open(f, O_RDWR | O_CLOEXEC).value());
  }

  temporary_directory dir;
  const std::string f = dir / "f", d = dir / "d", s = dir / "s", loop = dir / "loop", none = dir / "none";
  const std::string below_file = f + "/x", below_none = none + "/x", below_loop = loop + "/x";
  const std::string too_long = dir / std::string(256, 'n');
  const std::string with_nul = f + std::string("\0x", 2);
  const char* const bad = nowhere<const char>();
  owned_fd at, file;
};

TEST_F(Names, AtCallsAreRelativeToTheDirectory) {
  const owned_fd made(sys::openat(at.get(), "new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640).value());
  EXPECT_EQ(sys::fstatat(at.get(), "new", 0)->st_ino, sys::fstat(made.get())->st_ino);
  EXPECT_TRUE(sys::mkdirat(at.get(), "sub", 0700));
  EXPECT_TRUE(S_ISDIR(sys::stat(dir / "sub")->st_mode));
  EXPECT_TRUE(sys::renameat(at.get(), "new", at.get(), "sub/moved"));
  EXPECT_TRUE(sys::linkat(at.get(), "sub/moved", at.get(), "linked", 0));
  EXPECT_EQ(sys::stat(dir / "linked")->st_nlink, 2U);
  EXPECT_TRUE(sys::symlinkat("linked", at.get(), "soft"));
  std::string target(32, '\0');
  EXPECT_EQ(*sys::readlinkat(at.get(), "soft", target), 6U);
  EXPECT_EQ(target.substr(0, 6), "linked");
  EXPECT_TRUE(sys::linkat(at.get(), "soft", at.get(), "follows", AT_SYMLINK_FOLLOW));
  EXPECT_EQ(sys::lstat(dir / "follows")->st_ino, sys::stat(dir / "linked")->st_ino);
  EXPECT_TRUE(sys::unlinkat(at.get(), "sub/moved", 0));
  EXPECT_TRUE(sys::unlinkat(at.get(), "sub", AT_REMOVEDIR));
  EXPECT_EQ(sys::stat(dir / "sub").error(), ENOENT);
  EXPECT_TRUE(sys::fstatat(at.get(), "soft", AT_SYMLINK_NOFOLLOW));
  EXPECT_TRUE(sys::fstatat(file.get(), "", AT_EMPTY_PATH));
}

TEST_F(Names, RenameWithFlags) {
  ASSERT_TRUE(sys::mkdir(dir / "e", 0700));
  EXPECT_EQ(sys::renameat2(AT_FDCWD, f, AT_FDCWD, dir / "e", RENAME_NOREPLACE).error(), EEXIST);
  EXPECT_TRUE(sys::renameat2(AT_FDCWD, f, AT_FDCWD, dir / "e", RENAME_EXCHANGE));
  EXPECT_TRUE(S_ISDIR(sys::stat(f)->st_mode));
  EXPECT_TRUE(S_ISREG(sys::stat(dir / "e")->st_mode));
}

TEST_F(Names, ModesOwnersAndTimes) {
  EXPECT_TRUE(sys::fchmod(file.get(), 0640));
  EXPECT_EQ(sys::stat(f)->st_mode & 07777, 0640U);
  EXPECT_TRUE(sys::fchmodat(at.get(), "f", 0604, 0));
  EXPECT_EQ(sys::stat(f)->st_mode & 07777, 0604U);
  const auto link_mode = sys::fchmodat(at.get(), "s", 0600, AT_SYMLINK_NOFOLLOW);
  EXPECT_TRUE(link_mode.error() == ENOSYS || link_mode.error() == EOPNOTSUPP) << link_mode.error();
  EXPECT_EQ(sys::stat(f)->st_mode & 07777, 0604U);

  const auto me = sys::stat(f)->st_uid;
  const auto mine = sys::stat(f)->st_gid;
  EXPECT_TRUE(sys::fchown(file.get(), me, mine));
  EXPECT_TRUE(sys::lchown(loop, me, mine));
  EXPECT_TRUE(sys::fchownat(at.get(), "s", me, mine, AT_SYMLINK_NOFOLLOW));
  EXPECT_TRUE(sys::fchownat(file.get(), "", static_cast<::uid_t>(-1), static_cast<::gid_t>(-1), AT_EMPTY_PATH));

  const ::timespec times[2] = {{1000, 5}, {2000, 7}};
  EXPECT_TRUE(sys::utimensat(at.get(), "f", &times[0], 0));
  EXPECT_EQ(sys::stat(f)->st_mtim.tv_sec, 2000);
  EXPECT_EQ(sys::stat(f)->st_atim.tv_nsec, 5);
  const ::timespec partly[2] = {{0, UTIME_OMIT}, {3000, 0}};
  EXPECT_TRUE(sys::futimens(file.get(), &partly[0]));
  EXPECT_EQ(sys::stat(f)->st_atim.tv_sec, 1000);
  EXPECT_EQ(sys::stat(f)->st_mtim.tv_sec, 3000);
  EXPECT_TRUE(sys::futimens(file.get(), nullptr));
  EXPECT_GT(sys::stat(f)->st_mtim.tv_sec, 1'000'000'000);
}

TEST_F(Names, StatxHasWhatStatHas) {
  const auto x = sys::statx(at.get(), "f", 0, STATX_BASIC_STATS | STATX_BTIME);
  ASSERT_TRUE(x) << x.error();
  const auto plain = sys::stat(f).value();
  EXPECT_EQ(x->stx_ino, plain.st_ino);
  EXPECT_EQ(x->stx_mode, plain.st_mode);
  EXPECT_EQ(x->stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  EXPECT_TRUE(S_ISLNK(sys::statx(at.get(), "s", AT_SYMLINK_NOFOLLOW, STATX_TYPE)->stx_mode));
  expect_errors({{"bad pointer", sys::statx(at.get(), "f", 0, STATX_SIZE, nowhere<struct ::statx>()).error(), EFAULT},
                 {"bad name", sys::statx(at.get(), bad, 0, STATX_SIZE).error(), EFAULT},
                 {"reserved mask", sys::statx(at.get(), "f", 0, STATX__RESERVED).error(), EINVAL},
                 {"odd flags", sys::statx(at.get(), "f", 0x4000'0000, STATX_SIZE).error(), EINVAL},
                 {"none", sys::statx(at.get(), "none", 0, STATX_SIZE).error(), ENOENT},
                 {"empty", sys::statx(at.get(), "", 0, STATX_SIZE).error(), ENOENT},
                 {"below a file", sys::statx(AT_FDCWD, below_file, 0, STATX_SIZE).error(), ENOTDIR},
                 {"no directory", sys::statx(file.get(), "x", 0, STATX_SIZE).error(), ENOTDIR},
                 {"no descriptor", sys::statx(-1, "x", 0, STATX_SIZE).error(), EBADF},
                 {"loop", sys::statx(AT_FDCWD, loop, 0, STATX_SIZE).error(), ELOOP},
                 {"too long", sys::statx(AT_FDCWD, too_long, 0, STATX_SIZE).error(), ENAMETOOLONG},
                 {"NUL", sys::statx(AT_FDCWD, with_nul, 0, STATX_SIZE).error(), EINVAL}});
}

TEST_F(Names, AccessAsksForThisUser) {
  EXPECT_TRUE(sys::access(f, F_OK));
  EXPECT_TRUE(sys::access(f, R_OK | W_OK));
  EXPECT_EQ(sys::access(f, X_OK).error(), EACCES) << "nobody may execute it, not even root";
  EXPECT_TRUE(sys::faccessat(at.get(), "f", R_OK, 0));
  const auto effective = sys::faccessat(at.get(), "f", R_OK, AT_EACCESS);
  EXPECT_TRUE(effective || effective.error() == ENOSYS) << effective.error();
  EXPECT_TRUE(sys::faccessat(at.get(), "loop", F_OK, AT_SYMLINK_NOFOLLOW)) << "the link itself";
  expect_errors({{"mode", sys::access(f, 64).error(), EINVAL},
                 {"flags", sys::faccessat(at.get(), "f", F_OK, 0x4000'0000).error(), EINVAL}});
}

// The errors that every call on a path has, and one row for each call.
TEST_F(Names, EveryCallTellsWhatIsWrongWithAPath) {
  struct call {
    const char* name;
    sys::result<void> (*make)(int directory, const sys::c_string& path);
  };
  static constexpr ::timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  constexpr call calls[] = {
      {"faccessat", [](int in, const sys::c_string& p) { return sys::faccessat(in, p, F_OK, 0); }},
      {"fchmodat", [](int in, const sys::c_string& p) { return sys::fchmodat(in, p, 0600, 0); }},
      {"fchownat", [](int in, const sys::c_string& p) { return sys::fchownat(in, p, ~0U, ~0U, 0); }},
      {"utimensat", [](int in, const sys::c_string& p) { return sys::utimensat(in, p, &now[0], 0); }},
      {"mkdirat", [](int in, const sys::c_string& p) { return sys::mkdirat(in, p, 0700); }},
      {"mkfifoat", [](int in, const sys::c_string& p) { return sys::mkfifoat(in, p, 0700); }},
      {"mknodat", [](int in, const sys::c_string& p) { return sys::mknodat(in, p, S_IFREG | 0600, 0); }},
      {"unlinkat", [](int in, const sys::c_string& p) { return sys::unlinkat(in, p, 0); }},
      {"renameat from", [](int in, const sys::c_string& p) { return sys::renameat(in, p, in, "renamed"); }},
      {"linkat from",
       [](int in, const sys::c_string& p) { return sys::linkat(in, p, AT_FDCWD, "/", AT_SYMLINK_FOLLOW); }},
      {"symlinkat", [](int in, const sys::c_string& p) { return sys::symlinkat("x", in, p); }},
      {"readlinkat",
       [](int in, const sys::c_string& p) -> sys::result<void> {
         char room[8];
         const auto n = sys::readlinkat(in, p, room);
         return n ? sys::result<void>() : sys::failure(n.error());
       }},
      {"fstatat",
       [](int in, const sys::c_string& p) -> sys::result<void> {
         const auto got = sys::fstatat(in, p, 0);
         return got ? sys::result<void>() : sys::failure(got.error());
       }},
      {"openat",
       [](int in, const sys::c_string& p) -> sys::result<void> {
         const auto fd = sys::openat(in, p, O_RDONLY | O_CLOEXEC);
         return fd ? sys::result<void>() : sys::failure(fd.error());
       }},
  };
  for (const call& c : calls) {
    expect_errors({{c.name, c.make(at.get(), bad).error(), EFAULT},
                   {c.name, c.make(at.get(), static_cast<const char*>(nullptr)).error(), EFAULT},
                   {c.name, c.make(at.get(), with_nul).error(), EINVAL},
                   {c.name, c.make(at.get(), std::string_view(with_nul)).error(), EINVAL},
                   {c.name, c.make(at.get(), "").error(), ENOENT},
                   {c.name, c.make(at.get(), below_none).error(), ENOENT},
                   {c.name, c.make(at.get(), below_file).error(), ENOTDIR},
                   {c.name, c.make(at.get(), below_loop).error(), ELOOP},
                   {c.name, c.make(at.get(), too_long).error(), ENAMETOOLONG},
                   {c.name, c.make(at.get(), std::string(5000, '/')).error(), ENAMETOOLONG},
                   {c.name, c.make(-1, "x").error(), EBADF},
                   {c.name, c.make(file.get(), "x").error(), ENOTDIR}});
    baton_test::as_nobody([&] { EXPECT_EQ(c.make(AT_FDCWD, dir / "x").error(), EACCES) << c.name; });
  }
}

TEST_F(Names, WhatElseCanBeWrong) {
  char none_at_all[1];
  expect_errors(
      {{"mkdir exists", sys::mkdir(d, 0700).error(), EEXIST},
       {"rmdir of a file", sys::rmdir(f).error(), ENOTDIR},
       {"rmdir not empty", sys::rmdir(d).error(), ENOTEMPTY},
       {"rmdir .", sys::rmdir(d + "/.").error(), EINVAL},
       {"rmdir ..", sys::rmdir(d + "/..").error(), ENOTEMPTY},
       {"unlink a directory", sys::unlink(d).error(), EISDIR},
       {"unlinkat flags", sys::unlinkat(at.get(), "f", 1).error(), EINVAL},
       {"rename onto a directory", sys::rename(f, d).error(), EISDIR},
       {"rename a directory onto a file", sys::rename(d, f).error(), ENOTDIR},
       {"rename into itself", sys::rename(d, d + "/sub").error(), EINVAL},
       {"rename onto a full directory", sys::renameat(at.get(), "d", AT_FDCWD, dir.path()).error(), ENOTEMPTY},
       {"rename flags", sys::renameat2(at.get(), "f", at.get(), "g", 0x4000'0000).error(), EINVAL},
       {"rename NUL", sys::renameat2(at.get(), "f", at.get(), with_nul, 0).error(), EINVAL},
       {"exchange with none", sys::renameat2(at.get(), "f", at.get(), "g", RENAME_EXCHANGE).error(), ENOENT},
       {"rename to another file system", sys::rename(f, "/proc/x").error(), EXDEV},
       {"link exists", sys::link(f, s).error(), EEXIST},
       {"link a directory", sys::link(d, dir / "x").error(), EPERM},
       {"linkat flags", sys::linkat(at.get(), "f", at.get(), "x", 1).error(), EINVAL},
       {"linkat NUL", sys::linkat(at.get(), "f", at.get(), with_nul, 0).error(), EINVAL},
       {"symlink exists", sys::symlink("x", f).error(), EEXIST},
       {"symlink to nothing", sys::symlink("", dir / "x").error(), ENOENT},
       {"symlink NUL", sys::symlinkat(with_nul, at.get(), "x").error(), EINVAL},
       {"readlink of a file", sys::readlink(f, none_at_all).error(), EINVAL},
       {"readlink no room", sys::readlink(s, baton::bytes()).error(), EINVAL},
       {"readlink bad", sys::readlink(s, baton::bytes(nowhere<char>(), 8)).error(), EFAULT},
       {"fstatat bad", sys::fstatat(at.get(), "f", nowhere<struct ::stat>(), 0).error(), EFAULT},
       {"fstatat flags", sys::fstatat(at.get(), "f", 0x4000'0000).error(), EINVAL},
       {"fchmod", sys::fchmod(-1, 0600).error(), EBADF},
       {"fchown", sys::fchown(-1, 0, 0).error(), EBADF},
       {"fchownat flags", sys::fchownat(at.get(), "f", 0, 0, 1).error(), EINVAL},
       {"futimens", sys::futimens(-1, nullptr).error(), EBADF},
       {"futimens of the working directory", sys::futimens(AT_FDCWD, nullptr).error(), EBADF},
       {"utimensat flags", sys::utimensat(at.get(), "f", nullptr, 1).error(), EINVAL},
       {"utimensat bad", sys::utimensat(at.get(), "f", nowhere<::timespec>(), 0).error(), EFAULT},
       {"mknod exists", sys::mknod(f, S_IFREG, 0).error(), EEXIST},
       {"mknod of a directory", sys::mknod(dir / "x", S_IFDIR, 0).error(), EPERM},
       {"mknod of no type", sys::mknod(dir / "x", S_IFMT, 0).error(), EINVAL},
       {"mknod number", sys::mknod(dir / "x", S_IFCHR, ::makedev(1ULL << 20, 0)).error(), EINVAL},
       {"mkfifo exists", sys::mkfifo(s, 0600).error(), EEXIST}});
  const ::timespec odd[2] = {{0, 1'000'000'000}, {0, 0}};
  EXPECT_EQ(sys::utimensat(at.get(), "f", &odd[0], 0).error(), EINVAL);
  EXPECT_EQ(sys::openat(at.get(), "f", O_CREAT | O_EXCL | O_RDWR, 0600).error(), EEXIST);
  EXPECT_EQ(sys::openat(at.get(), "d", O_WRONLY).error(), EISDIR);
  EXPECT_EQ(sys::openat(at.get(), "s", O_RDONLY | O_NOFOLLOW).error(), ELOOP);
  EXPECT_TRUE(sys::mkfifo(dir / "fifo", 0600));
  EXPECT_TRUE(S_ISFIFO(sys::stat(dir / "fifo")->st_mode));
  EXPECT_EQ(sys::openat(at.get(), "fifo", O_WRONLY | O_NONBLOCK).error(), ENXIO);
  const baton_test::lower_limit no_descriptor(RLIMIT_NOFILE, 0);
  EXPECT_EQ(sys::openat(at.get(), "f", O_RDONLY).error(), EMFILE);
}

TEST_F(Names, WhatOnlyAnOwnerMay) {
  const auto root = sys::stat("/").value();
  baton_test::as_nobody([&] {
    expect_errors({{"chmod", sys::chmod("/", root.st_mode & 07777).error(), EPERM},
                   {"chown", sys::chown("/", 65534, 65534).error(), EPERM},
                   {"utimensat", sys::utimensat(AT_FDCWD, "/", std::array<::timespec, 2>{}.data(), 0).error(), EPERM},
                   {"utimensat now", sys::utimensat(AT_FDCWD, "/", nullptr, 0).error(), EACCES},
                   {"mkdir", sys::mkdir("/no-such", 0700).error(), EACCES},
                   {"a device", sys::mknod("/tmp/no-such", S_IFCHR | 0600, ::makedev(1, 3)).error(), EPERM},
                   {"chdir", sys::chdir(dir.path() + "/d").error(), EACCES}});
  });
}

TEST_F(Names, AFileSystemThatIsFullOrReadOnly) {
  const bool made = baton_test::in_small_file_system(d, 64 * 1024, [&](const std::string& small) {
    const std::string x = small + "/x", y = small + "/y";
    const owned_fd fd(sys::open(x, O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
    const std::string much(1 << 20, 'm');
    EXPECT_LE(sys::write(fd.get(), much).value(), 64U * 1024);
    EXPECT_EQ(sys::pwrite(fd.get(), much, 1 << 20).error(), ENOSPC);
    EXPECT_EQ(sys::rmdir(small).error(), EBUSY);
    EXPECT_EQ(sys::rename(small, dir / "other").error(), EBUSY);
    EXPECT_EQ(sys::link(x, dir / "y").error(), EXDEV);
    ASSERT_TRUE(sys::truncate(x, 0));
  });
  if (!made) GTEST_SKIP() << "no mounts here";
  baton_test::in_small_file_system(d, 64 * 1024, [&](const std::string& small) {
    const std::string x = small + "/x", y = small + "/y";
    (void)owned_fd(sys::open(x, O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
    ASSERT_TRUE(baton_test::make_read_only(small));
    expect_errors({{"open", sys::open(x, O_RDWR | O_CLOEXEC).error(), EROFS},
                   {"access", sys::access(x, W_OK).error(), EROFS},
                   {"chmod", sys::chmod(x, 0640).error(), EROFS},
                   {"chown", sys::chown(x, 1, 1).error(), EROFS},
                   {"link", sys::link(x, y).error(), EROFS},
                   {"mkdir", sys::mkdir(y, 0700).error(), EROFS},
                   {"mkfifo", sys::mkfifo(y, 0600).error(), EROFS},
                   {"mknod", sys::mknod(y, S_IFREG, 0).error(), EROFS},
                   {"rename", sys::rename(x, y).error(), EROFS},
                   {"symlink", sys::symlink("x", y).error(), EROFS},
                   {"truncate", sys::truncate(x, 0).error(), EROFS},
                   {"unlink", sys::unlink(x).error(), EROFS},
                   {"utimensat", sys::utimensat(AT_FDCWD, x, nullptr, 0).error(), EROFS}});
  });
}

// The working directory of one thread: the process keeps its own.
TEST_F(Names, TheWorkingDirectory) {
  EXPECT_EQ(*sys::getcwd(), [] {
    char room[4096];
    return std::string(::getcwd(&room[0], sizeof room));
  }());
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_FS), 0);
    EXPECT_TRUE(sys::chdir(d));
    EXPECT_EQ(*sys::getcwd(), std::filesystem::canonical(d).string());
    EXPECT_TRUE(sys::fchdir(at.get()));
    char room[4096];
    const auto n = sys::getcwd(room);
    ASSERT_TRUE(n) << n.error();
    EXPECT_EQ(std::string(&room[0], *n), *sys::getcwd());
    EXPECT_EQ(room[*n], '\0');
    expect_errors({{"no room", sys::getcwd(baton::bytes(&room[0], *n)).error(), ERANGE},
                   {"bad", sys::getcwd(baton::bytes(nowhere<char>(), 100)).error(), EFAULT},
                   {"none", sys::chdir(none).error(), ENOENT},
                   {"a file", sys::chdir(f).error(), ENOTDIR},
                   {"bad name", sys::chdir(bad).error(), EFAULT},
                   {"NUL", sys::chdir(with_nul).error(), EINVAL},
                   {"loop", sys::chdir(loop).error(), ELOOP},
                   {"too long", sys::chdir(too_long).error(), ENAMETOOLONG},
                   {"no descriptor", sys::fchdir(-1).error(), EBADF},
                   {"no directory", sys::fchdir(file.get()).error(), ENOTDIR}});
    // Deeper than the first buffer of getcwd() has room for.
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(sys::mkdir(std::string(200, 'a'), 0700));
      ASSERT_TRUE(sys::chdir(std::string(200, 'a')));
    }
    EXPECT_GT(sys::getcwd()->size(), 800U);
    ASSERT_TRUE(sys::mkdir("gone", 0700));
    ASSERT_TRUE(sys::chdir("gone"));
    ASSERT_TRUE(sys::rmdir("../gone"));
    EXPECT_EQ(sys::getcwd().error(), ENOENT);
  }).join();
}

}  // namespace
