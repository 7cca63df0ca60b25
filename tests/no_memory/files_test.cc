// Files, whole files, directories, locks, mappings, pipes and copies without memory: each call reports it, and leaves
// neither a descriptor nor a file nor a mapping.
#include "failing_allocations.h"

#include <baton/baton.h>
#include <syscall/temporary_directory.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

namespace baton::test {
namespace {

// Too long for the room within a string.
const std::string text(5000, 'x');

void on_both(const std::function<void(failing_allocation&)>& attempt, whose owner = whose::caller) {
  run([&] { fail_each_allocation(attempt, owner); });
  fail_each_allocation(attempt, owner);
}

class FilesWithoutMemory : public testing::Test {
 protected:
  FilesWithoutMemory() { EXPECT_EQ(absl::OkStatus(), write_file(path_, text)); }
  temporary_directory dir_;
  const std::string path_ = dir_ / "a file with a name that is not short";
};

// Either the call worked, or there was no memory for it.
bool is_right(const absl::Status& s, bool threw, const failing_allocation& fails) {
  if (threw) return fails.happened();
  return s.ok() || (fails.happened() && errno_of(s) == ENOMEM);
}

TEST_F(FilesWithoutMemory, AreOpenedReadAndWritten) {
  on_both([this](failing_allocation& fails) {
    absl::Status s;
    const bool threw = fails.during([&] {
      auto f = file::open(path_, O_RDWR);
      if (!f.ok()) return void(s = f.status());
      char part[100];
      s.Update(f->read(part).status());
      s.Update(f->write_at("y", 0).status());
      s.Update(f->sync());
      s.Update(f->stat().status());
      s.Update(f->close());
    });
    EXPECT_TRUE(is_right(s, threw, fails)) << s;
  });
}

TEST_F(FilesWithoutMemory, ErrorsAreReported) {
  on_both([this](failing_allocation& fails) {
    auto f = file::open(path_).value();
    absl::Status opened;
    absl::Status written;
    const bool threw = fails.during([&] {
      opened = file::open(path_ + ", which is not there").status();
      written = f.write(text).status();
    });
    EXPECT_TRUE(threw ? fails.happened() : !opened.ok() && !written.ok());
    EXPECT_EQ(1u, f.read_at(bytes(std::string(1, '\0').data(), 1), 0).value());
  });
}

TEST_F(FilesWithoutMemory, WhatIsAdoptedStaysTheCallersOrIsClosed) {
  on_both([this](failing_allocation& fails) {
    int ends[2];
    ASSERT_EQ(0, ::pipe2(ends, O_CLOEXEC));
    absl::StatusOr<file> in = absl::UnknownError("");
    const bool threw = fails.during([&] { in = file::adopt(ends[0], path_); });
    EXPECT_TRUE(is_right(in.status(), threw, fails)) << in.status();
    if (in.ok()) {
      EXPECT_EQ(absl::OkStatus(), in->close());
    } else {
      EXPECT_EQ(0, ::close(ends[0]));
    }
    ::close(ends[1]);
  });
}

TEST_F(FilesWithoutMemory, APipeIsReadThatHasToWait) {
  on_both([](failing_allocation& fails) {
    int ends[2];
    ASSERT_EQ(0, ::pipe2(ends, O_CLOEXEC));
    file in = file::adopt(ends[0], "a pipe with a name that is not short").value();
    const file out = file::adopt(ends[1], "out").value();
    absl::Status read;
    absl::Status set;
    char c;
    const bool threw = fails.during([&] {
      set = in.set_read_deadline(std::chrono::steady_clock::now() + std::chrono::milliseconds(1));
      if (set.ok()) read = in.read(bytes(&c, 1)).status();
    });
    if (set.ok() && !threw) {
      EXPECT_TRUE(absl::IsDeadlineExceeded(read)) << read;
    }
    EXPECT_TRUE(fails.happened() || (set.ok() && !threw));
  });
}

TEST_F(FilesWithoutMemory, WholeFiles) {
  on_both([this](failing_allocation& fails) {
    absl::StatusOr<std::string> all = absl::UnknownError("");
    const bool threw = fails.during([&] { all = read_file(path_); });
    EXPECT_TRUE(is_right(all.status(), threw, fails)) << all.status();
    if (all.ok()) {
      EXPECT_EQ(text.size(), all->size());
    }
  });
}

// The file is the former one or the new one, and nothing is left beside it.
TEST_F(FilesWithoutMemory, AFileIsReplacedOrNot) {
  on_both([this](failing_allocation& fails) {
    ASSERT_EQ(absl::OkStatus(), write_file(path_, "former"));
    absl::Status s;
    const bool threw = fails.during([&] { s = write_file_atomically(path_, text); });
    EXPECT_TRUE(is_right(s, threw, fails)) << s;
    std::ifstream in(path_);
    const std::string now((std::istreambuf_iterator<char>(in)), {});
    EXPECT_TRUE(now == text || ((threw || !s.ok()) && now == "former")) << now.size();
    const auto names = std::filesystem::directory_iterator(dir_.path());
    EXPECT_EQ(1, std::distance(begin(names), end(names)));
  });
}

TEST_F(FilesWithoutMemory, AFileThatCannotBeReplaced) {
  std::filesystem::create_directory(dir_ / "a directory with a name that is not short");
  on_both([this](failing_allocation& fails) {
    absl::Status s;
    const bool threw =
        fails.during([&] { s = write_file_atomically(dir_ / "a directory with a name that is not short", text); });
    EXPECT_TRUE(threw ? fails.happened() : !s.ok()) << s;
    const auto names = std::filesystem::directory_iterator(dir_.path());
    EXPECT_EQ(2, std::distance(begin(names), end(names)));
  });
}

TEST_F(FilesWithoutMemory, Directories) {
  for (int i = 0; i < 20; ++i) {
    const std::string below = dir_ / ("a directory with the long name " + std::to_string(i));
    std::filesystem::create_directory(below);
    std::ofstream(below + "/a file with a name that is not short");
  }
  on_both([this](failing_allocation& fails) {
    absl::StatusOr<std::vector<directory_entry>> all = absl::UnknownError("");
    const bool threw = fails.during([&] { all = read_directory(dir_.path()); });
    EXPECT_TRUE(is_right(all.status(), threw, fails)) << all.status();
    if (all.ok()) {
      EXPECT_EQ(21u, all->size());
    }
  });
  on_both([this](failing_allocation& fails) {
    int seen = 0;
    absl::Status s;
    const bool threw = fails.during([&] { s = walk_directory(dir_.path(), [&](const walked_entry&) { ++seen; }); });
    EXPECT_TRUE(is_right(s, threw, fails)) << s;
    if (s.ok() && !threw) {
      EXPECT_EQ(41, seen);
    }
  });
}

TEST_F(FilesWithoutMemory, LocksAreTakenOrNot) {
  on_both([this](failing_allocation& fails) {
    absl::StatusOr<file_lock> mine = absl::UnknownError("");
    absl::Status second;
    const bool threw = fails.during([&] {
      mine = file_lock::acquire(path_);
      if (mine.ok()) second = file_lock::try_acquire(path_).status();
    });
    EXPECT_TRUE(is_right(mine.status(), threw, fails)) << mine.status();
    if (mine.ok()) {
      EXPECT_TRUE(threw || absl::IsUnavailable(second) || fails.happened()) << second;
      mine->release();
    }
    EXPECT_TRUE(file_lock::try_acquire(path_).ok()) << "nobody holds it";
  });
}

std::size_t mappings_of(const std::string& path) {
  std::ifstream maps("/proc/self/maps");
  std::size_t n = 0;
  for (std::string line; std::getline(maps, line);) n += line.find(path) != std::string::npos ? 1 : 0;
  return n;
}

TEST_F(FilesWithoutMemory, MappingsAreMadeOrNot) {
  on_both([this](failing_allocation& fails) {
    const file f = file::open(path_).value();
    absl::StatusOr<mapping> m = absl::UnknownError("");
    absl::Status misused;
    const bool threw = fails.during([&] {
      m = mapping::map(f, text.size(), PROT_READ, MAP_SHARED);
      misused = mapping::map(f, 0, PROT_READ, MAP_SHARED).status();
    });
    EXPECT_TRUE(is_right(m.status(), threw, fails) || !m.ok()) << m.status();
    EXPECT_EQ(m.ok() ? 1u : 0u, mappings_of(path_));
    if (m.ok()) {
      EXPECT_EQ(absl::OkStatus(), m->sync());
    }
  });
}

TEST_F(FilesWithoutMemory, PipesAreMadeAndUsed) {
  on_both([](failing_allocation& fails) {
    absl::StatusOr<pipe_ends> p = absl::UnknownError("");
    absl::StatusOr<std::size_t> n = absl::UnknownError("");
    char part[8];
    const bool threw = fails.during([&] {
      p = make_pipe();
      if (!p.ok()) return;
      static_cast<void>(p->writer.write("text"));
      n = p->reader.read(part);
    });
    EXPECT_TRUE(is_right(p.status(), threw, fails)) << p.status();
    if (p.ok() && !threw) {
      EXPECT_EQ(4u, n.value());
    }
  });
}

// What has been copied before the memory was missing is counted.
TEST_F(FilesWithoutMemory, Copies) {
  on_both([this](failing_allocation& fails) {
    auto ends = make_pipe().value();
    file from = file::open(path_).value();
    file to = file::open(dir_ / "to", O_RDWR | O_CREAT | O_TRUNC).value();
    absl::StatusOr<std::size_t> first = absl::UnknownError("");
    absl::StatusOr<std::size_t> second = absl::UnknownError("");
    const bool threw = fails.during([&] {
      first = copy(ends.writer, from);
      ends.writer.close();
      second = copy(to, ends.reader);
    });
    EXPECT_TRUE(fails.happened() || (!threw && first.value() == text.size() && second.value() == text.size()));
    const std::size_t moved = second.ok() ? *second : written_of(second.status());
    if (!threw) {
      EXPECT_EQ(moved, static_cast<std::size_t>(to.stat()->st_size));
    }
  });
}

TEST_F(FilesWithoutMemory, BuffersOfReadersAndWriters) {
  on_both([this](failing_allocation& fails) {
    file from = file::open(path_).value();
    file to = file::open(dir_ / "to", O_RDWR | O_CREAT | O_TRUNC).value();
    absl::Status s;
    std::size_t length = 0;
    const bool threw = fails.during([&] {
      buffered_reader in(from, 16);
      buffered_writer out(to, 16);
      const auto line = in.read_line(unlimited);
      s.Update(line.status());
      if (line.ok() && line->has_value()) length = (*line)->size();
      s.Update(out.write("text").status());
      s.Update(out.flush());
    });
    EXPECT_TRUE(is_right(s, threw, fails)) << s;
    if (s.ok() && !threw) {
      EXPECT_EQ(text.size(), length);
    }
  });
  on_both([this](failing_allocation& fails) {
    file from = file::open(path_).value();
    absl::StatusOr<std::string> all = absl::UnknownError("");
    const bool threw = fails.during([&] { all = read_all(from, unlimited); });
    EXPECT_TRUE(is_right(all.status(), threw, fails)) << all.status();
  });
}

}  // namespace
}  // namespace baton::test
