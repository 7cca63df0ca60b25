#include <baton/runtime/file.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/status.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace {

using baton::file;

class FileIo : public testing::Test {
 protected:
  FileIo() {
    std::string pattern = testing::TempDir() + "baton_file_XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
  }
  ~FileIo() override { std::filesystem::remove_all(dir_); }
  [[nodiscard]] std::string path(const char* name) const { return dir_ + "/" + name; }

  std::string dir_;
};

std::string text_of(std::size_t n) {
  std::string s(n, '\0');
  for (std::size_t i = 0; i < n; ++i) s[i] = static_cast<char>('a' + i % 23);
  return s;
}

TEST_F(FileIo, WhatIsWrittenIsRead) {
  baton::run([&] {
    for (const std::size_t n : {0u, 1u, 4095u, 4096u, 4097u, 3'000'000u}) {
      const std::string text = text_of(n);
      ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), text));
      const auto back = baton::read_file(path("f"));
      ASSERT_TRUE(back.ok()) << back.status();
      EXPECT_TRUE(text == *back) << n;
    }
  });
}

TEST_F(FileIo, WorksOnPlainThreads) {
  ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), "plain"));
  EXPECT_EQ("plain", baton::read_file(path("f")).value());
}

TEST_F(FileIo, ModesCountForNewFiles) {
  const mode_t before = ::umask(0);
  ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), "x", 0600));
  ::umask(before);
  auto f = file::open(path("f"));
  ASSERT_TRUE(f.ok());
  EXPECT_EQ(0600U, f->stat()->st_mode & 0777U);
  EXPECT_EQ(1, f->stat()->st_size);
  EXPECT_NE(0, ::fcntl(f->native_handle(), F_GETFD) & FD_CLOEXEC);
}

TEST_F(FileIo, PositionsAndOffsets) {
  baton::run([&] {
    auto f = file::open(path("f"), O_RDWR | O_CREAT | O_TRUNC);
    ASSERT_TRUE(f.ok());
    EXPECT_EQ(6U, f->write("abcdef").value());
    EXPECT_EQ(2U, f->write_at("XY", 2).value());
    char buffer[4];
    EXPECT_EQ(4U, f->read_at(buffer, 1).value());
    EXPECT_EQ("bXYe", std::string(buffer, 4));
    EXPECT_EQ(1U, f->read_at(buffer, 5).value());
    EXPECT_EQ(0U, f->read_at(buffer, 6).value());
    EXPECT_EQ(0U, f->read_at(buffer, 600).value());
    EXPECT_EQ(EINVAL, baton::errno_of(f->read_at(buffer, -1).status()));
    EXPECT_EQ(0U, f->read(buffer).value()) << "write() has moved the position to the end";
    EXPECT_EQ(0, f->seek(0).value());
    EXPECT_EQ(4U, f->read(buffer).value());
    EXPECT_EQ("abXY", std::string(buffer, 4));
    EXPECT_EQ(2U, f->read(buffer).value());
    EXPECT_EQ(0U, f->read(buffer).value());
    EXPECT_EQ(0U, f->write("").value());
    EXPECT_EQ(absl::OkStatus(), f->sync());
    EXPECT_EQ(absl::OkStatus(), f->close());
    EXPECT_FALSE(f->is_open());
    EXPECT_EQ(EBADF, baton::errno_of(f->close()));
  });
}

TEST_F(FileIo, SeekTruncateAllocate) {
  baton::run([&] {
    file f = file::open(path("f"), O_RDWR | O_CREAT | O_TRUNC).value();
    EXPECT_EQ(6U, f.write("abcdef").value());
    EXPECT_EQ(6, f.seek(0, SEEK_CUR).value());
    EXPECT_EQ(4, f.seek(-2, SEEK_END).value());
    char c[4];
    EXPECT_EQ(2U, f.read(c).value());
    EXPECT_EQ(EINVAL, baton::errno_of(f.seek(-1).status()));
    EXPECT_EQ(absl::OkStatus(), f.truncate(2));
    EXPECT_EQ(6, f.seek(0, SEEK_CUR).value());
    EXPECT_EQ("ab", baton::read_file(path("f")).value());
    EXPECT_EQ(absl::OkStatus(), f.truncate(3));
    EXPECT_EQ(std::string("ab\0", 3), baton::read_file(path("f")).value());
    EXPECT_EQ(EINVAL, baton::errno_of(f.truncate(-1)));
    const absl::Status allocated = f.allocate(0, 4096);
    EXPECT_TRUE(allocated.ok() || baton::errno_of(allocated) == EOPNOTSUPP) << allocated;
    EXPECT_EQ(allocated.ok() ? 4096 : 3, f.stat()->st_size);
    EXPECT_EQ(EINVAL, baton::errno_of(f.allocate(0, 0)));
    EXPECT_EQ(absl::OkStatus(), f.sync_data());

    EXPECT_EQ(absl::OkStatus(), f.close());
    const absl::Status closed = f.seek(0).status();
    EXPECT_EQ("seek " + path("f") + ": Bad file descriptor (EBADF)", closed.message());
    EXPECT_EQ(EBADF, baton::errno_of(file().truncate(0)));
    int ends[2];
    ASSERT_EQ(0, ::pipe2(ends, O_CLOEXEC));
    const file in = file::adopt(ends[0], "in").value();
    file out = file::adopt(ends[1], "out").value();
    EXPECT_EQ(ESPIPE, baton::errno_of(out.seek(0).status()));
    EXPECT_EQ(EINVAL, baton::errno_of(out.truncate(0)));
  });
}

TEST_F(FileIo, ErrorsSayOperationPathAndErrno) {
  baton::run([&] {
    const absl::Status s = baton::read_file("/no/such/file").status();
    EXPECT_TRUE(absl::IsNotFound(s)) << s;
    EXPECT_EQ(ENOENT, baton::errno_of(s));
    EXPECT_NE(std::string::npos, s.ToString().find("open /no/such/file: No such file")) << s;

    const absl::Status d = baton::read_file(dir_).status();
    EXPECT_EQ(EISDIR, baton::errno_of(d)) << d;
    EXPECT_NE(std::string::npos, d.ToString().find("read " + dir_)) << d;

    EXPECT_EQ(EISDIR, baton::errno_of(baton::write_file(dir_, "x")));

    auto f = file::open(path("f"), O_WRONLY | O_CREAT);
    char c[1];
    EXPECT_EQ(EBADF, baton::errno_of(f->read(c).status()));
    file empty;
    EXPECT_EQ(EBADF, baton::errno_of(empty.read(c).status()));
    EXPECT_EQ(EBADF, baton::errno_of(empty.write("x").status()));
    if (::access("/dev/full", W_OK) == 0) {
      EXPECT_EQ(ENOSPC, baton::errno_of(baton::write_file("/dev/full", "x")));
    }
  });
}

TEST_F(FileIo, FilesOfUnknownSize) {
  baton::run([&] {
    const auto status = baton::read_file("/proc/self/status");
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_NE(std::string::npos, status->find("VmSize"));
    // Several pages, in several reads.
    const auto maps = baton::read_file("/proc/self/smaps");
    ASSERT_TRUE(maps.ok()) << maps.status();
    EXPECT_GT(maps->size(), 8192U);
    EXPECT_EQ('\n', maps->back());
    EXPECT_EQ("", baton::read_file("/dev/null").value());
  });
}

TEST_F(FileIo, ASparseFileLargerThanMemoryIsAnError) {
  baton::run([&] {
    {
      auto f = file::open(path("huge"), O_RDWR | O_CREAT);
      ASSERT_TRUE(f.ok());
      if (::ftruncate(f->native_handle(), off_t{1} << 42) != 0) GTEST_SKIP() << "no file so large here";
    }
    auto f = file::open(path("huge"));
    ASSERT_TRUE(f.ok());
    char c[8];
    EXPECT_EQ(8U, f->read_at(c, (off_t{1} << 42) - 8).value());
  });
}

TEST_F(FileIo, HandlesMoveAndClose) {
  baton::run([&] {
    auto f = file::open(path("f"), O_RDWR | O_CREAT).value();
    const int fd = f.native_handle();
    file g = std::move(f);
    EXPECT_FALSE(f.is_open());
    EXPECT_EQ(fd, g.native_handle());
    EXPECT_EQ(path("f"), g.path());
    g = file::open(path("f")).value();
    EXPECT_EQ(fd == g.native_handle() ? 0 : -1, ::fcntl(fd, F_GETFD) < 0 ? -1 : 0);
    g = file();
    EXPECT_EQ(-1, ::fcntl(fd, F_GETFD));
  });
}

TEST_F(FileIo, APipeParksNobodyElse) {
  baton::run([&] {
    int ends[2];
    ASSERT_EQ(0, ::pipe2(ends, O_CLOEXEC));
    file in = file::adopt(ends[0], "pipe").value();
    file out = file::adopt(ends[1], "pipe").value();
    auto reader = baton::spawn([&] {
      char buffer[16];
      return std::string(buffer, in.read(buffer).value());
    });
    baton::this_fiber::yield();
    EXPECT_EQ(5U, out.write("hello").value());
    EXPECT_EQ("hello", reader.join());
    EXPECT_EQ(absl::OkStatus(), out.close());
    char c[1];
    EXPECT_EQ(0U, in.read(c).value());
  });
}

TEST_F(FileIo, ManyFibersReadOneFile) {
  baton::run([&] {
    constexpr std::size_t block = 4096;
    constexpr std::size_t blocks = 64;
    const std::string text = text_of(block * blocks);
    ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), text));
    auto f = file::open(path("f")).value();
    std::vector<baton::fiber<bool>> readers;
    for (std::size_t i = 0; i < blocks; ++i) {
      readers.push_back(baton::spawn([&, i] {
        std::string buffer(block, '\0');
        for (std::size_t round = 0; round < 50; ++round) {
          const std::size_t at = (i + round) % blocks * block;
          if (f.read_at(buffer, static_cast<off_t>(at)).value() != block) return false;
          if (text.compare(at, block, buffer) != 0) return false;
        }
        return true;
      }));
    }
    for (auto& r : readers) EXPECT_TRUE(r.join());
  });
}

TEST_F(FileIo, APipeThatAlwaysHadDataParksNobodyElse) {
  baton::run([&] {
    const int before = baton::set_procs(1);
    int ends[2];
    ASSERT_EQ(0, ::pipe(ends));
    file in = file::adopt(ends[0], "the pipe").value();
    file out = file::adopt(ends[1], "the pipe").value();
    const std::string page(4096, 'x');
    std::string buffer(1, '\0');
    for (int i = 0; i < 10; ++i) {
      ASSERT_EQ(page.size(), out.write(page).value());
      for (std::size_t k = 0; k < page.size(); ++k) ASSERT_EQ(1U, in.read(buffer).value());
    }
    for (int i = 0; i < 3; ++i) {
      auto writer = baton::spawn([&] { EXPECT_EQ(1U, out.write("y").value()); });
      ASSERT_EQ(1U, in.read(buffer).value());  // waits for the writer, which has only this P
      EXPECT_EQ("y", buffer);
      writer.join();
    }
    baton::set_procs(before);
  });
}

// Memory without content until the test provides it. Any access to it waits, also the kernel's.
class absent_page {
 public:
  absent_page() {
    at_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fd_ = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC));
    ::uffdio_api api{};
    api.api = UFFD_API;
    ::uffdio_register all{};
    all.range = range();
    all.mode = UFFDIO_REGISTER_MODE_MISSING;
    works_ = fd_ >= 0 && ::ioctl(fd_, UFFDIO_API, &api) == 0 && ::ioctl(fd_, UFFDIO_REGISTER, &all) == 0;
  }
  ~absent_page() {
    if (fd_ >= 0) ::close(fd_);
    ::munmap(at_, size);
  }
  absent_page(const absent_page&) = delete;
  absent_page& operator=(const absent_page&) = delete;

  [[nodiscard]] bool works() const { return works_; }
  [[nodiscard]] baton::bytes memory() const { return {static_cast<char*>(at_), size}; }
  void provide() {
    ::uffdio_zeropage zero{};
    zero.range = range();
    EXPECT_EQ(0, ::ioctl(fd_, UFFDIO_ZEROPAGE, &zero));
  }

 private:
  static constexpr std::size_t size = 4096;
  [[nodiscard]] ::uffdio_range range() const { return {reinterpret_cast<std::uintptr_t>(at_), size}; }

  void* at_;
  int fd_;
  bool works_;
};

// The file has been read from memory so often that the page cache is no longer asked. When a read waits, others run.
TEST_F(FileIo, TheFirstReadThatWaitsStopsNobody) {
  absent_page page;
  if (!page.works()) GTEST_SKIP() << "no userfaultfd for us here";
  baton::run([&] {
    const int before = baton::set_procs(1);
    ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), std::string(4096, 'x')));
    file f = file::open(path("f")).value();
    std::string buffer(4096, '\0');
    for (int i = 0; i < 30'000; ++i) ASSERT_EQ(4096U, f.read_at(buffer, 0).value());
    auto other = baton::spawn([&] { page.provide(); });
    EXPECT_EQ(4096U, f.read_at(page.memory(), 0).value());
    other.join();
    EXPECT_EQ(4096U, f.read_at(buffer, 0).value());
    baton::set_procs(before);
  });
}

TEST_F(FileIo, ErrorsAreTheSameHoweverOftenItWasRead) {
  baton::run([&] {
    ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), "text"));
    file f = file::open(path("f")).value();
    std::string buffer(8, '\0');
    for (int i = 0; i < 20'000; ++i) ASSERT_EQ(4U, f.read_at(buffer, 0).value());
    EXPECT_EQ(0U, f.read_at(buffer, 4).value()) << "the end";
    EXPECT_EQ(EINVAL, baton::errno_of(f.read_at(buffer, -1).status()));
    EXPECT_EQ(4U, f.read(buffer).value()) << "at the position, which read_at has left alone";
    EXPECT_EQ(0U, f.read(buffer).value());
    ASSERT_EQ(absl::OkStatus(), f.close());
    EXPECT_EQ(EBADF, baton::errno_of(f.read(buffer).status()));
  });
}

}  // namespace
