// Directories, locks on files, mappings, and files that are replaced as a whole.
#include <baton/runtime/directory.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/file_lock.h>
#include <baton/runtime/mapping.h>
#include <baton/runtime/run.h>
#include <baton/syscall/status.h>
#include <syscall/temporary_directory.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace {

using baton::file;
using baton::file_lock;
using baton::mapping;
using strings = std::vector<std::string>;

std::size_t entries_of(const std::string& directory) { return baton::read_directory(directory).value().size(); }

TEST(ReplacedFiles, HaveTheNewContentAndMode) {
  const temporary_directory dir;
  baton::run([&] {
    ASSERT_EQ(absl::OkStatus(), baton::write_file(dir / "f", "former"));
    const file reads = file::open(dir / "f").value();
    EXPECT_EQ(absl::OkStatus(), baton::write_file_atomically(dir / "f", "new", 0600));
    EXPECT_EQ("new", baton::read_file(dir / "f").value());
    struct ::stat about {};
    ASSERT_EQ(0, ::stat((dir / "f").c_str(), &about));
    EXPECT_EQ(0600U, about.st_mode & 0777);
    EXPECT_EQ(6, reads.stat()->st_size) << "who has the former file open keeps it";
    // Of a symbolic link the link is replaced, not what it leads to.
    ASSERT_EQ(0, ::symlink("f", (dir / "link").c_str()));
    EXPECT_EQ(absl::OkStatus(), baton::write_file_atomically(dir / "link", "other"));
    EXPECT_EQ("new", baton::read_file(dir / "f").value());
    EXPECT_EQ("other", baton::read_file(dir / "link").value());
    EXPECT_EQ(2U, entries_of(dir.path())) << "nothing is left beside them";
  });
}

TEST(ReplacedFiles, StayWhatTheyAreAfterAnError) {
  const temporary_directory dir;
  baton::run([&] {
    ASSERT_EQ(0, ::mkdir((dir / "d").c_str(), 0700));
    EXPECT_EQ(EISDIR, baton::errno_of(baton::write_file_atomically(dir / "d", "text")));
    EXPECT_EQ(ENOENT, baton::errno_of(baton::write_file_atomically(dir / "none/f", "text")));
    EXPECT_EQ(1U, entries_of(dir.path()));
  });
}

TEST(Directories, HaveTheirEntriesInOrder) {
  const temporary_directory dir;
  baton::run([&] {
    for (const char* name : {"b", "a", ".hidden"}) ASSERT_EQ(absl::OkStatus(), baton::write_file(dir / name, name));
    ASSERT_EQ(0, ::mkdir((dir / "c").c_str(), 0700));
    ASSERT_EQ(0, ::symlink("nowhere", (dir / "l").c_str()));
    const auto all = baton::read_directory(dir.path());
    ASSERT_TRUE(all.ok()) << all.status();
    strings names;
    for (const auto& e : *all) names.push_back(e.name);
    EXPECT_EQ(strings({".hidden", "a", "b", "c", "l"}), names);
    EXPECT_TRUE((*all)[1].is_regular() && (*all)[3].is_directory());
    EXPECT_EQ(baton::file_type::symbolic_link, (*all)[4].type);
    EXPECT_EQ(ENOENT, baton::errno_of(baton::read_directory(dir / "none").status()));
    EXPECT_EQ(ENOTDIR, baton::errno_of(baton::read_directory(dir / "a").status()));
  });
}

TEST(Directories, AreWalkedAsTheVisitorSays) {
  const temporary_directory dir;
  baton::run([&] {
    std::filesystem::create_directories(dir / "a/b");
    std::filesystem::create_directories(dir / "c");
    for (const char* name : {"a/b/1", "a/2", "c/3", "d"}) {
      ASSERT_EQ(absl::OkStatus(), baton::write_file(dir / name, ""));
    }
    ASSERT_EQ(0, ::symlink("..", (dir / "a/up").c_str()));
    const auto walked = [&](auto decide) {
      strings seen;
      EXPECT_EQ(absl::OkStatus(), baton::walk_directory(dir.path(), [&](const baton::walked_entry& e) {
                  seen.push_back(e.path.substr(dir.path().size() + 1));
                  return decide(e);
                }));
      return seen;
    };
    using baton::walk_next;
    EXPECT_EQ(strings({"a", "a/2", "a/b", "a/b/1", "a/up", "c", "c/3", "d"}),
              walked([](const auto&) { return walk_next::go_on; }));
    EXPECT_EQ(strings({"a", "c", "c/3", "d"}),
              walked([](const auto& e) { return e.name == "a" ? walk_next::skip : walk_next::go_on; }));
    EXPECT_EQ(strings({"a", "a/2", "c", "c/3", "d"}),
              walked([](const auto& e) { return e.name == "2" ? walk_next::skip : walk_next::go_on; }));
    EXPECT_EQ(strings({"a", "a/2", "a/b"}),
              walked([](const auto& e) { return e.name == "b" ? walk_next::stop : walk_next::go_on; }));
    EXPECT_EQ(absl::AbortedError("enough"), baton::walk_directory(dir.path(), [](const baton::walked_entry&) {
                return absl::AbortedError("enough");
              }));
    EXPECT_EQ(ENOENT, baton::errno_of(baton::walk_directory(dir / "none", [](const baton::walked_entry&) {})));
  });
}

TEST(FileLock, ExcludesOthersAndIsShared) {
  const temporary_directory dir;
  baton::run([&] {
    const std::string path = dir / "lock";
    file_lock first = file_lock::acquire(path).value();
    for (const auto mode : {baton::lock_mode::shared, baton::lock_mode::exclusive}) {
      const absl::Status held = file_lock::try_acquire(path, mode).status();
      EXPECT_TRUE(absl::IsUnavailable(held)) << held;
      EXPECT_EQ(EWOULDBLOCK, baton::errno_of(held));
    }
    baton::cancellable_context ctx = baton::with_cancel(baton::context::background());
    auto waits = baton::spawn([&] { return file_lock::acquire(path, baton::lock_mode::exclusive, ctx).status(); });
    ctx.cancel(absl::AbortedError("enough"));
    EXPECT_EQ(absl::StatusCode::kAborted, waits.join().code());
    auto next = baton::spawn([&] { return file_lock::acquire(path).value().holds(); });
    first.release();
    EXPECT_FALSE(first.holds());
    EXPECT_TRUE(next.join());
    const auto one = file_lock::acquire(path, baton::lock_mode::shared);
    const auto two = file_lock::try_acquire(path, baton::lock_mode::shared);
    EXPECT_TRUE(one.ok() && two.ok());
    EXPECT_TRUE(absl::IsUnavailable(file_lock::try_acquire(path).status()));
    EXPECT_EQ(ENOENT, baton::errno_of(file_lock::acquire(dir / "none/lock").status()));
  });
}

TEST(Mapping, ShowsAFileAndWritesItBack) {
  const temporary_directory dir;
  baton::run([&] {
    ASSERT_EQ(absl::OkStatus(), baton::write_file(dir / "f", "content"));
    file f = file::open(dir / "f", O_RDWR).value();
    mapping m = mapping::map(f, 7, PROT_READ | PROT_WRITE, MAP_SHARED).value();
    EXPECT_EQ(absl::OkStatus(), f.close());
    EXPECT_EQ("content", m.data().as_string_view());
    std::memcpy(m.data().data(), "C", 1);
    EXPECT_EQ(absl::OkStatus(), m.sync());
    EXPECT_EQ("Content", baton::read_file(dir / "f").value());
    EXPECT_EQ(absl::OkStatus(), m.advise(MADV_SEQUENTIAL));
    EXPECT_EQ(EINVAL, baton::errno_of(m.advise(12345)));
    EXPECT_EQ(EBADF, baton::errno_of(mapping::map(f, 7, PROT_READ, MAP_SHARED).status()));
    const file reads = file::open(dir / "f").value();
    EXPECT_EQ(EACCES, baton::errno_of(mapping::map(reads, 7, PROT_WRITE, MAP_SHARED).status()));
    EXPECT_EQ(EINVAL, baton::errno_of(mapping::map(reads, 7, PROT_READ, MAP_SHARED, 1).status()));
    const mapping zeros = mapping::anonymous(4096).value();
    EXPECT_EQ(std::string(4096, '\0'), zeros.data().as_string_view());
  });
}

}  // namespace
