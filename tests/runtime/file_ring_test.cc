// Reads and writes that have to wait for a device: by io_uring where the kernel allows it.
#include "parked.h"

#include <baton/netpoll/ring.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/status.h>
#include <syscall/temporary_directory.h>
#include <system_call_filter.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using baton::file;

constexpr std::size_t page = 4096;
constexpr std::size_t pages = 512;

std::string numbered_pages() {
  std::string text(pages * page, '\0');
  for (std::size_t i = 0; i < pages; ++i) std::memset(text.data() + i * page, static_cast<int>(i * 7 % 251), page);
  return text;
}

struct free_memory {
  void operator()(void* p) const { std::free(p); }
};
using aligned_page = std::unique_ptr<char, free_memory>;
aligned_page make_page() { return aligned_page(static_cast<char*>(std::aligned_alloc(page, page))); }

class FileRing : public testing::Test {
 protected:
  FileRing() { EXPECT_EQ(absl::OkStatus(), baton::write_file(path_, text_)); }
  // So that reads have to wait.
  void drop_from_memory() {
    const baton::sys::owned_fd f(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(0, ::fsync(f.get()));
    EXPECT_EQ(0, ::posix_fadvise(f.get(), 0, 0, POSIX_FADV_DONTNEED));
    EXPECT_EQ(0, ::posix_fadvise(f.get(), 0, 0, POSIX_FADV_RANDOM));
  }
  // An empty file if the file system has no O_DIRECT, or no asynchronous form of it.
  file open_direct(int flags) {
    auto f = file::open(path_, flags | O_DIRECT);
    return f.ok() ? std::move(*f) : file();
  }
  temporary_directory dir_;
  const std::string path_ = dir_ / "f";
  const std::string text_ = numbered_pages();
};

// Many fibers read at once, in whatever way: each gets what is there.
int wrong_pages(file& f, int rounds) {
  std::vector<baton::fiber<int>> fibers;
  for (std::size_t first = 0; first < 64; ++first) {
    fibers.push_back(baton::spawn([&f, first, rounds] {
      const aligned_page at = make_page();
      int wrong = 0;
      for (int k = 0; k < rounds; ++k) {
        const std::size_t i = (first + static_cast<std::size_t>(k) * 64) % pages;
        const auto n = f.read_at(baton::bytes(at.get(), page), static_cast<off_t>(i * page));
        const char expected = static_cast<char>(i * 7 % 251);
        if (!n.ok() || *n != page || at.get()[0] != expected || at.get()[page - 1] != expected) ++wrong;
      }
      return wrong;
    }));
  }
  int wrong = 0;
  for (auto& f1 : fibers) wrong += f1.join();
  return wrong;
}

TEST_F(FileRing, DirectReads) {
  baton::run([this] {
    file f = open_direct(O_RDONLY);
    if (!f.is_open()) GTEST_SKIP() << "no O_DIRECT here";
    const auto before = baton::net::ring::transfers();
    EXPECT_EQ(0, wrong_pages(f, 8));
    if (baton::net::ring::is_there() && before == baton::net::ring::transfers()) GTEST_SKIP() << "no RWF_NOWAIT here";
    const aligned_page at = make_page();
    EXPECT_EQ(0u, f.read_at(baton::bytes(at.get(), page), static_cast<off_t>(pages * page)).value()) << "the end";
    EXPECT_EQ(EINVAL, baton::errno_of(f.read_at(baton::bytes(at.get() + 1, page - 1), 1).status())) << "not aligned";
    EXPECT_EQ(page, f.read(baton::bytes(at.get(), page)).value());
    EXPECT_EQ(page, f.read(baton::bytes(at.get(), page)).value());
    EXPECT_EQ(7, at.get()[0]) << "the position has moved";
  });
}

TEST_F(FileRing, ReadsOfWhatIsNotInMemory) {
  baton::run([this] {
    drop_from_memory();
    file f = file::open(path_).value();
    EXPECT_EQ(0, wrong_pages(f, 8));
    drop_from_memory();
    EXPECT_EQ(text_, baton::read_file(path_).value()) << "at the position";
  });
}

TEST_F(FileRing, ReadersAtOnePositionShareTheContent) {
  baton::run([this] {
    drop_from_memory();
    file f = file::open(path_).value();
    std::vector<int> times(pages);
    std::vector<baton::fiber<std::vector<int>>> fibers;
    for (int i = 0; i < 16; ++i) {
      fibers.push_back(baton::spawn([&f] {
        std::vector<int> seen(pages);
        std::string part(page, '\0');
        for (;;) {
          const auto n = f.read(part);
          if (!n.ok() || *n != page) return seen;
          // The numbers of two pages differ by 251, or their contents do.
          ++seen[static_cast<unsigned char>(part[0])];
        }
      }));
    }
    for (auto& one : fibers) {
      const std::vector<int> seen = one.join();
      for (std::size_t i = 0; i < pages; ++i) times[i] += seen[i];
    }
    std::vector<int> expected(pages);
    for (std::size_t i = 0; i < pages; ++i) ++expected[i * 7 % 251];
    EXPECT_EQ(expected, times);
  });
}

TEST_F(FileRing, DirectWrites) {
  baton::run([this] {
    file f = open_direct(O_RDWR);
    if (!f.is_open()) GTEST_SKIP() << "no O_DIRECT here";
    std::vector<baton::fiber<bool>> fibers;
    for (std::size_t i = 0; i < 64; ++i) {
      fibers.push_back(baton::spawn([&f, i] {
        const aligned_page at = make_page();
        std::memset(at.get(), static_cast<int>(i), page);
        return f.write_at(baton::const_bytes(at.get(), page), static_cast<off_t>(2 * i * page)).ok();
      }));
    }
    for (auto& one : fibers) EXPECT_TRUE(one.join());
    std::string expected = text_;
    for (std::size_t i = 0; i < 64; ++i) std::memset(expected.data() + 2 * i * page, static_cast<int>(i), page);
    EXPECT_EQ(expected, baton::read_file(path_).value());
  });
}

// A plain thread waits, and shutdown() ends the ring's thread, which the next read starts again.
TEST_F(FileRing, WorksOnPlainThreadsAndAfterShutdown) {
  for (int round = 0; round < 3; ++round) {
    const file direct = open_direct(O_RDONLY);
    if (!direct.is_open()) GTEST_SKIP() << "no O_DIRECT here";
    std::thread([this] {
      file f = open_direct(O_RDONLY);
      const aligned_page at = make_page();
      for (int i = 0; i < 4; ++i) EXPECT_EQ(page, f.read_at(baton::bytes(at.get(), page), 0).value());
    }).join();
    EXPECT_EQ(absl::OkStatus(), baton::shutdown());
  }
}

TEST_F(FileRing, CloseWhileManyRead) {
  baton::run([this] {
    for (int round = 0; round < 20; ++round) {
      file f = open_direct(O_RDONLY);
      if (!f.is_open()) GTEST_SKIP() << "no O_DIRECT here";
      std::vector<baton::fiber<absl::Status>> fibers;
      for (int i = 0; i < 16; ++i) {
        fibers.push_back(baton::spawn([&f] {
          const aligned_page at = make_page();
          for (;;) {
            const auto n = f.read_at(baton::bytes(at.get(), page), 0);
            if (!n.ok()) return n.status();
          }
        }));
      }
      for (int i = 0; i < 50; ++i) baton::this_fiber::yield();
      EXPECT_EQ(absl::OkStatus(), f.close());
      for (auto& one : fibers) {
        const absl::Status s = one.join();
        EXPECT_TRUE(baton::errno_of(s) == EBADF || absl::IsCancelled(s)) << s;
      }
    }
  });
}

struct blocking_pipe {
  blocking_pipe() { EXPECT_EQ(0, ::pipe2(at, O_CLOEXEC)); }
  ~blocking_pipe() {
    ::close(at[0]);
    ::close(at[1]);
  }
  baton::sys::result<std::size_t> read_by_ring(char& c) const {
    return baton::net::ring::read(at[0], baton::bytes(&c, 1), 0);
  }
  int at[2] = {-1, -1};
};

// Transfers that do not fit wait in the process. A transfer that does not go on holds up no other.
TEST_F(FileRing, MoreTransfersThanFit) {
  baton::run([this] {
    constexpr std::size_t transfers = baton::net::ring::transfers_max + 300;
    const blocking_pipe p;
    std::vector<baton::fiber<int>> fibers;
    for (std::size_t i = 0; i < transfers; ++i) {
      fibers.push_back(baton::spawn([&p] {
        char c = 0;
        return p.read_by_ring(c).error() != 0 ? -1 : c;
      }));
    }
    while (baton::net::ring::is_there() && baton::stats().fibers_parked < transfers) baton::this_fiber::yield();
    const std::string text(transfers, 'x');
    EXPECT_EQ(static_cast<ssize_t>(transfers), ::write(p.at[1], text.data(), text.size()));
    std::size_t right = 0;
    for (auto& f : fibers) right += f.join() == 'x' ? 1 : 0;
    if (!baton::net::ring::is_there()) GTEST_SKIP() << "no io_uring here";
    EXPECT_EQ(transfers, right);
    char c = 0;
    const file f = file::open(path_).value();
    EXPECT_EQ(1u, baton::net::ring::read(f.native_handle(), baton::bytes(&c, 1), 7 * page).value());
    EXPECT_EQ(49, c);
  });
}

// The runtime is down, and the thread's transfer goes on.
TEST_F(FileRing, ATransferOfAPlainThreadOutlivesShutdown) {
  const blocking_pipe p;
  baton::test::watched_agent reads;
  char c = 0;
  int error = -1;
  std::thread reader([&] {
    reads.about_to_wait();
    error = p.read_by_ring(c).error();
  });
  if (baton::net::ring::is_there()) reads.await_parked_without_switching();
  EXPECT_EQ(absl::OkStatus(), baton::shutdown());
  EXPECT_EQ(1, ::write(p.at[1], "x", 1));
  reader.join();
  EXPECT_TRUE(baton::net::ring::is_there() ? error == 0 && c == 'x' : error == ENOSYS);
  EXPECT_EQ(absl::OkStatus(), baton::shutdown());
}

TEST_F(FileRing, RefusedByAFilter) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        if (baton_test::filter_call(SYS_io_uring_setup, baton_test::fails_with(EPERM)) != 0) _exit(77);
        _exit(baton::run([this] {
          drop_from_memory();
          file f = file::open(path_).value();
          int wrong = wrong_pages(f, 8);
          file direct = open_direct(O_RDONLY);
          if (direct.is_open()) wrong += wrong_pages(direct, 8);
          // A gate's threads, and some of the runtime's own.
          return wrong == 0 && baton::net::ring::transfers() == 0 && baton::stats().threads < 100 ? 0 : 1;
        }));
      },
      [](int status) { return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77); }, "");
}

// All threads may hand nothing to a ring from now on.
bool refuse_to_enter() {
  return baton_test::filter_call(SYS_io_uring_enter, baton_test::fails_with(EPERM), SECCOMP_FILTER_FLAG_TSYNC) == 0;
}

bool right_or_skipped(int status) {
  return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
}

// Some transfers are with the kernel, some are not, when the kernel begins to refuse. None is lost.
TEST_F(FileRing, AFilterThatIsSetWhileManyRead) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::alarm(60);
        _exit(baton::run([this] {
          file f = open_direct(O_RDONLY);
          if (!f.is_open() || wrong_pages(f, 8) != 0 || baton::net::ring::transfers() == 0) return 77;
          auto reads = baton::spawn([&f] { return wrong_pages(f, 50); });
          const auto begun = baton::net::ring::transfers();
          while (baton::net::ring::transfers() < begun + 200) baton::this_fiber::yield();
          if (!refuse_to_enter()) _exit(77);
          if (reads.join() != 0) return 1;
          return baton::net::ring::is_there() || baton::stats().threads >= 100 ? 2 : 0;
        }));
      },
      right_or_skipped, "");
}

// One transfer still waits when the kernel begins to refuse. It ends when it can, without io_uring_enter.
TEST_F(FileRing, WhatWaitsWhenAFilterIsSet) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::alarm(60);
        _exit(baton::run([this] {
          const blocking_pipe ended;
          const blocking_pipe silent;
          char c[3];
          auto first = baton::spawn([&] { return ended.read_by_ring(c[0]); });
          auto second = baton::spawn([&] { return silent.read_by_ring(c[1]); });
          while (baton::stats().fibers_parked < 2) baton::this_fiber::yield();
          // The kernel gets them in their order.
          const file f = file::open(path_).value();
          if (!baton::net::ring::read(f.native_handle(), baton::bytes(&c[2], 1), 0)) return 77;
          if (!refuse_to_enter()) return 77;
          if (::write(ended.at[1], "x", 1) != 1) return 1;
          if (first.join().error() != 0 || c[0] != 'x') return 2;
          while (baton::net::ring::is_there()) baton::this_fiber::yield();
          if (::write(silent.at[1], "y", 1) != 1) return 3;
          return second.join().error() == 0 && c[1] == 'y' ? 0 : 4;
        }));
      },
      right_or_skipped, "");
}

// When a number is missing for a moment, the ring is there later.
TEST_F(FileRing, NoNumberIsNoRefusal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::alarm(60);
        _exit(baton::run([this] {
          file f = open_direct(O_RDONLY);
          const aligned_page at = make_page();
          const auto reads = [&] {
            const auto n = f.read_at(baton::bytes(at.get(), page), static_cast<off_t>(page));
            return n.ok() && *n == page && at.get()[0] == 7;
          };
          if (!f.is_open() || !reads()) return 77;
          ::rlimit former{};
          ::getrlimit(RLIMIT_NOFILE, &former);
          const int free_one = ::dup(0);
          ::close(free_one);
          ::rlimit tight = former;
          tight.rlim_cur = static_cast<::rlim_t>(free_one) + 1;  // enough for the ring's eventfd
          ::setrlimit(RLIMIT_NOFILE, &tight);
          for (int i = 0; i < 10; ++i) {
            if (!reads()) return 1;
          }
          ::setrlimit(RLIMIT_NOFILE, &former);
          if (!baton::net::ring::is_there()) return 2;
          ::io_uring_params setup{};
          const baton::sys::owned_fd probe(static_cast<int>(::syscall(SYS_io_uring_setup, 1, &setup)));
          while (probe && baton::net::ring::transfers() == 0) {
            if (!reads()) return 3;
            baton::this_fiber::sleep_for(std::chrono::milliseconds(10));
          }
          return 0;
        }));
      },
      right_or_skipped, "");
}

// The child has the parent's file, and no ring.
TEST_F(FileRing, AForkedChildDoesNotUseIt) {
  file f = open_direct(O_RDONLY);
  if (!f.is_open()) GTEST_SKIP() << "no O_DIRECT here";
  const aligned_page at = make_page();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(page, f.read_at(baton::bytes(at.get(), page), 0).value());
  const bool had_one = baton::net::ring::transfers() > 0;
  const pid_t child = ::fork();
  if (child == 0) _exit(had_one && baton::net::ring::is_there() ? 1 : 0);
  int status = 0;
  ASSERT_EQ(child, ::waitpid(child, &status, 0));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(page, f.read_at(baton::bytes(at.get(), page), 0).value());
}

}  // namespace
