// Directories, locks, mappings, and files that are replaced.
#include "parked.h"

#include <baton/runtime/context.h>
#include <baton/runtime/directory.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/file_lock.h>
#include <baton/runtime/mapping.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/status.h>
#include <syscall/temporary_directory.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace {

using baton::errno_of;
using baton::file;
using baton::file_lock;
using baton::file_type;
using baton::lock_mode;
using baton::mapping;
using baton::walk_next;
using baton::walked_entry;
namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct tree {
  tree() {
    fs::create_directories(dir / "a/b/c");
    for (const char* name : {"z", "a/1", "a/2", "a/b/3", "a/b/c/4"}) {
      EXPECT_EQ(absl::OkStatus(), baton::write_file(dir / name, name));
    }
    fs::create_symlink("a", dir / "link");
    EXPECT_EQ(0, ::mkfifo((dir / "fifo").c_str(), 0600));
  }
  temporary_directory dir;
};

TEST(Directory, EntriesInOrderWithTheirTypes) {
  const tree t;
  const auto all = baton::read_directory(t.dir.path()).value();
  std::vector<std::pair<std::string, file_type>> seen;
  for (const auto& e : all) {
    seen.emplace_back(e.name, e.type);
    EXPECT_NE(0u, e.inode);
  }
  EXPECT_EQ((std::vector<std::pair<std::string, file_type>>{{"a", file_type::directory},
                                                            {"fifo", file_type::fifo},
                                                            {"link", file_type::symbolic_link},
                                                            {"z", file_type::regular}}),
            seen);
}

TEST(Directory, MoreEntriesThanOneCallReturns) {
  const temporary_directory dir;
  constexpr int count = 1500;
  for (int i = 0; i < count; ++i)
    ::close(::open((dir / (std::string(40, 'n') + std::to_string(i))).c_str(), O_CREAT, 0600));
  EXPECT_EQ(static_cast<std::size_t>(count), baton::read_directory(dir.path()).value().size());
}

std::vector<std::string> walked(const std::string& path, const std::function<walk_next(const walked_entry&)>& next) {
  std::vector<std::string> seen;
  EXPECT_EQ(absl::OkStatus(), baton::walk_directory(path, [&](const walked_entry& e) {
              seen.push_back(e.path.substr(path.size() + 1) + ":" + std::to_string(e.depth));
              return next(e);
            }));
  return seen;
}

TEST(Directory, AWalkInOrderThatDoesNotFollowLinks) {
  const tree t;
  using strings = std::vector<std::string>;
  const auto on = [](const walked_entry&) { return walk_next::go_on; };
  EXPECT_EQ((strings{"a:0", "a/1:1", "a/2:1", "a/b:1", "a/b/3:2", "a/b/c:2", "a/b/c/4:3", "fifo:0", "link:0", "z:0"}),
            walked(t.dir.path(), on));
  EXPECT_EQ((strings{"a:0", "a/1:1", "a/2:1", "a/b:1", "fifo:0", "link:0", "z:0"}),
            walked(t.dir.path(), [](const auto& e) { return e.name == "b" ? walk_next::skip : walk_next::go_on; }));
  EXPECT_EQ((strings{"a:0", "a/1:1", "fifo:0", "link:0", "z:0"}),
            walked(t.dir.path(), [](const auto& e) { return e.name == "1" ? walk_next::skip : walk_next::go_on; }));
  EXPECT_EQ((strings{"a:0", "a/1:1"}),
            walked(t.dir.path(), [](const auto& e) { return e.name == "1" ? walk_next::stop : walk_next::go_on; }));
  // What a walk shows may be removed, and an error ends it.
  EXPECT_EQ(absl::OkStatus(), baton::walk_directory(t.dir.path(), [](const walked_entry& e) {
              if (e.name == "a") fs::remove_all(e.path);
            }));
  EXPECT_EQ(absl::AbortedError("enough"),
            baton::walk_directory(t.dir.path(), [](const walked_entry&) { return absl::AbortedError("enough"); }));
}

TEST(Directory, Errors) {
  const tree t;
  const struct {
    std::string path;
    int error;
  } cases[] = {{t.dir / "nothing", ENOENT},
               {t.dir / "z", ENOTDIR},
               {t.dir / "fifo", ENOTDIR},
               {"", ENOENT},
               {t.dir / std::string(300, 'x'), ENAMETOOLONG},
               {std::string("a\0b", 3), EINVAL}};
  for (const auto& c : cases) {
    EXPECT_EQ(c.error, errno_of(baton::read_directory(c.path).status())) << c.path;
    EXPECT_EQ(c.error, errno_of(baton::walk_directory(c.path, [](const walked_entry&) {}))) << c.path;
  }
}

TEST(WriteAtomically, ReplacesWhatIsThere) {
  const temporary_directory dir;
  EXPECT_EQ(absl::OkStatus(), baton::write_file_atomically(dir / "f", "first", 0640));
  struct ::stat about {};
  ASSERT_EQ(0, ::stat((dir / "f").c_str(), &about));
  const mode_t mask = ::umask(0);
  ::umask(mask);
  EXPECT_EQ(0640u & ~mask, about.st_mode & 0777);
  file former = file::open(dir / "f").value();
  EXPECT_EQ(absl::OkStatus(), baton::write_file_atomically(dir / "f", ""));
  EXPECT_EQ("", baton::read_file(dir / "f").value());
  std::string text(5, '\0');
  EXPECT_EQ(5u, former.read(text).value());
  EXPECT_EQ("first", text) << "who has it open keeps the former";
  EXPECT_EQ(1u, baton::read_directory(dir.path()).value().size()) << "nothing beside it";
}

TEST(WriteAtomically, AFailureLeavesTheFormer) {
  const temporary_directory dir;
  ASSERT_EQ(absl::OkStatus(), baton::write_file(dir / "f", "former"));
  fs::create_directories(dir / "d");
  const struct {
    std::string path;
    int error;
  } cases[] = {{dir / "none/f", ENOENT},
               {dir / "f/g", ENOTDIR},
               {dir / "d", EISDIR},
               {dir / std::string("f\0g", 3), EINVAL},
               {dir / std::string(300, 'x'), ENAMETOOLONG}};
  for (const auto& c : cases) {
    EXPECT_EQ(c.error, errno_of(baton::write_file_atomically(c.path, "new"))) << c.path;
  }
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::signal(SIGXFSZ, SIG_IGN);
        ::rlimit limit{};
        limit.rlim_cur = limit.rlim_max = 5000;
        ::setrlimit(RLIMIT_FSIZE, &limit);
        const absl::Status s = baton::write_file_atomically(dir / "f", std::string(8000, 'x'));
        _exit(errno_of(s) == EFBIG && baton::written_of(s) == 5000 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_EQ("former", baton::read_file(dir / "f").value());
  EXPECT_EQ(2u, baton::read_directory(dir.path()).value().size());
}

// The file beside it has a longer name, which the file system would refuse.
TEST(WriteAtomically, TheLongestNames) {
  const temporary_directory dir;
  constexpr std::size_t longest = NAME_MAX;
  for (const std::size_t length : {longest - 14, longest - 13, longest - 12, longest}) {
    const std::string path = dir / std::string(length, 'n');
    EXPECT_EQ(absl::OkStatus(), baton::write_file_atomically(path, "text")) << length;
    EXPECT_EQ("text", baton::read_file(path).value());
  }
  EXPECT_EQ(ENAMETOOLONG, errno_of(baton::write_file_atomically(dir / std::string(longest + 1, 'n'), "text")));
  EXPECT_EQ(4u, baton::read_directory(dir.path()).value().size()) << "nothing is left beside them";
}

TEST(FileLock, ExcludesOthers) {
  const temporary_directory dir;
  const std::string path = dir / "lock";
  auto one = file_lock::try_acquire(path).value();
  EXPECT_TRUE(one.holds());
  struct ::stat about {};
  ASSERT_EQ(0, ::stat(path.c_str(), &about));
  EXPECT_EQ(0600u, about.st_mode & 0777);
  for (const lock_mode mode : {lock_mode::shared, lock_mode::exclusive}) {
    const absl::Status held = file_lock::try_acquire(path, mode).status();
    EXPECT_TRUE(absl::IsUnavailable(held)) << held;
    EXPECT_EQ(EWOULDBLOCK, errno_of(held));
  }
  file_lock moved = std::move(one);
  EXPECT_TRUE(moved.holds());
  moved.release();
  EXPECT_FALSE(moved.holds());
  EXPECT_EQ(0, ::access(path.c_str(), F_OK)) << "it is never removed";

  const file_lock shared = file_lock::try_acquire(path, lock_mode::shared).value();
  EXPECT_TRUE(file_lock::try_acquire(path, lock_mode::shared).ok());
  EXPECT_EQ(EWOULDBLOCK, errno_of(file_lock::try_acquire(path).status()));
}

// A child that shares the open file does not keep the lock.
TEST(FileLock, IsReleasedAlthoughAChildHasTheFile) {
  const temporary_directory dir;
  auto one = file_lock::try_acquire(dir / "lock").value();
  int hold[2];
  ASSERT_EQ(0, ::pipe(hold));
  const pid_t child = ::fork();
  if (child == 0) {
    char c;
    ::close(hold[1]);
    while (::read(hold[0], &c, 1) < 0 && errno == EINTR) {
    }
    _exit(0);
  }
  one.release();
  EXPECT_TRUE(file_lock::try_acquire(dir / "lock").ok());
  ::close(hold[1]);
  ::close(hold[0]);
  int status = 0;
  EXPECT_EQ(child, ::waitpid(child, &status, 0));
}

TEST(FileLock, ManyThatWaitKeepNoThread) {
  const temporary_directory dir;
  baton::run([&] {
    constexpr int waiting = 200;
    auto one = file_lock::acquire(dir / "lock").value();
    std::atomic<int> begun{0};
    const auto ctx = baton::with_cancel(baton::context::background());
    std::vector<baton::fiber<absl::Status>> fibers;
    for (int i = 0; i < waiting; ++i) {
      fibers.push_back(baton::spawn([&] {
        ++begun;
        return file_lock::acquire(dir / "lock", lock_mode::exclusive, ctx).status();
      }));
    }
    while (begun < waiting || baton::stats().fibers_parked < waiting) baton::this_fiber::yield();
    EXPECT_LT(baton::stats().threads, 80u);
    ctx.cancel(absl::AbortedError("enough"));
    for (auto& f : fibers) {
      const absl::Status s = f.join();
      EXPECT_EQ(absl::StatusCode::kAborted, s.code()) << s;
      EXPECT_EQ("lock " + (dir / "lock") + ": enough", std::string(s.message()));
    }
    auto next = baton::spawn([&] { return file_lock::acquire(dir / "lock").ok(); });
    one.release();
    EXPECT_TRUE(next.join());
  });
}

TEST(FileLock, Errors) {
  const temporary_directory dir;
  EXPECT_EQ(ENOENT, errno_of(file_lock::acquire(dir / "none/lock").status()));
  EXPECT_EQ(EINVAL, errno_of(file_lock::try_acquire(std::string("a\0b", 3)).status()));
  const auto late = baton::with_timeout(baton::context::background(), 0s);
  EXPECT_TRUE(absl::IsDeadlineExceeded(file_lock::acquire(dir / "lock", lock_mode::exclusive, late).status()));
  EXPECT_TRUE(file_lock::try_acquire(dir.path()).ok()) << "a directory can be locked, too";
}

TEST(Mapping, ShowsAFile) {
  const temporary_directory dir;
  baton::run([&] {
    ASSERT_EQ(absl::OkStatus(), baton::write_file(dir / "f", std::string(8192, 'x') + "end"));
    file f = file::open(dir / "f", O_RDWR).value();
    mapping all = mapping::map(f, 8195, PROT_READ | PROT_WRITE, MAP_SHARED).value();
    EXPECT_EQ(absl::OkStatus(), f.close());
    EXPECT_EQ(8195u, all.data().size());
    EXPECT_EQ("end", std::as_const(all).data().drop(8192).as_string_view());
    std::memcpy(all.data().data() + 5000, "hello", 5);
    EXPECT_EQ(absl::OkStatus(), all.sync(5000, 5));
    EXPECT_EQ(absl::OkStatus(), all.sync());
    EXPECT_EQ(absl::OkStatus(), all.sync(8195));
    EXPECT_EQ(absl::OkStatus(), all.advise(MADV_WILLNEED));
    EXPECT_EQ("hello", baton::read_file(dir / "f").value().substr(5000, 5));

    file again = file::open(dir / "f").value();
    const mapping end = mapping::map(again, 3, PROT_READ, MAP_PRIVATE, 8192).value();
    EXPECT_EQ("end", end.data().as_string_view());
    mapping moved = std::move(all);
    EXPECT_EQ(0u, all.size());
    EXPECT_EQ(8195u, moved.size());
    moved = mapping();
    EXPECT_TRUE(moved.data().empty());
  });
}

TEST(Mapping, MemoryWithoutAFile) {
  mapping m = mapping::anonymous(10'000).value();
  EXPECT_EQ(std::byte{0}, m.data()[9'999]);
  m.data()[0] = std::byte{7};
  EXPECT_EQ(absl::OkStatus(), m.advise(MADV_DONTNEED));
  EXPECT_EQ(std::byte{0}, m.data()[0]);
}

TEST(Mapping, Errors) {
  const temporary_directory dir;
  ASSERT_EQ(absl::OkStatus(), baton::write_file(dir / "f", "content"));
  const file read_only = file::open(dir / "f").value();
  const file directory = file::open(dir.path()).value();
  const file none;
  const struct {
    const file& f;
    std::size_t length;
    int prot, flags;
    off_t offset;
    int error;
  } cases[] = {{read_only, 0, PROT_READ, MAP_SHARED, 0, EINVAL},
               {read_only, 7, PROT_READ, MAP_SHARED, 1, EINVAL},
               {read_only, 7, PROT_READ, 0, 0, EINVAL},
               {read_only, 7, PROT_READ, MAP_SHARED | MAP_FIXED, 0, EINVAL},
               {read_only, 7, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, 0, EINVAL},
               {read_only, 7, PROT_READ | PROT_WRITE, MAP_SHARED, 0, EACCES},
               {read_only, mapping::npos / 2, PROT_READ, MAP_SHARED, 0, ENOMEM},
               {directory, 7, PROT_READ, MAP_SHARED, 0, ENODEV},
               {none, 7, PROT_READ, MAP_SHARED, 0, EBADF}};
  for (const auto& c : cases) {
    EXPECT_EQ(c.error, errno_of(mapping::map(c.f, c.length, c.prot, c.flags, c.offset).status()))
        << c.length << " " << c.prot << " " << c.flags;
  }
  mapping m = mapping::map(read_only, 7, PROT_READ, MAP_SHARED).value();
  EXPECT_EQ(EINVAL, errno_of(m.sync(8)));
  EXPECT_EQ(EINVAL, errno_of(m.sync(0, 8)));
  EXPECT_EQ(EINVAL, errno_of(m.advise(12345)));
  EXPECT_EQ("advise " + (dir / "f") + ": Invalid argument (EINVAL)", std::string(m.advise(12345).message()));
}

}  // namespace
