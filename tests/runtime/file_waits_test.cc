// Files whose calls have to wait: for a device, for the other end, for a close().
#include "parked.h"
#include "system_call_filter.h"

#include <baton/netpoll/error_text.h>
#include <baton/runtime/detail/file_gate.h>
#include <baton/runtime/detail/file_open.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/status.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using baton::file;

class FileWaits : public testing::Test {
 protected:
  FileWaits() {
    std::string pattern = testing::TempDir() + "baton_file_XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
  }
  ~FileWaits() override { std::filesystem::remove_all(dir_); }
  [[nodiscard]] std::string path(const std::string& name) const { return dir_ + "/" + name; }

  std::string dir_;
};

struct two_ends {
  explicit two_ends(int flags) {
    int ends[2];
    EXPECT_EQ(0, ::pipe2(ends, O_CLOEXEC | flags));
    in = file::adopt(ends[0], "in").value();
    out = file::adopt(ends[1], "out").value();
  }
  file in, out;
};

// Installs a filter of system calls that decides the result of preadv2 with RWF_NOWAIT from now on, and refuses
// io_uring.
bool filter_nowait(std::uint32_t answer) {
  return baton_test::filter_call(SYS_io_uring_setup, baton_test::fails_with(EPERM)) == 0 &&
         baton_test::filter_calls({{SYS_preadv2, 5, RWF_NOWAIT}}, answer) == 0;
}

// The calls fail with `error`; with 0 they return 0.
bool answer_nowait_with(int error) { return filter_nowait(baton_test::fails_with(error)); }

// Memory without content until the test provides it: a read into it waits in the kernel.
class absent_pages {
 public:
  explicit absent_pages(std::size_t count) : size_(count * page) {
    at_ = static_cast<char*>(::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    fd_ = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC));
    ::uffdio_api api{};
    api.api = UFFD_API;
    ::uffdio_register all{};
    all.range = {reinterpret_cast<std::uintptr_t>(at_), size_};
    all.mode = UFFDIO_REGISTER_MODE_MISSING;
    works_ = fd_ >= 0 && ::ioctl(fd_, UFFDIO_API, &api) == 0 && ::ioctl(fd_, UFFDIO_REGISTER, &all) == 0;
  }
  ~absent_pages() {
    if (fd_ >= 0) ::close(fd_);
    ::munmap(at_, size_);
  }
  absent_pages(const absent_pages&) = delete;
  absent_pages& operator=(const absent_pages&) = delete;

  static constexpr std::size_t page = 4096;
  [[nodiscard]] bool works() const { return works_; }
  [[nodiscard]] baton::bytes memory(std::size_t i) const { return {at_ + i * page, page}; }
  // Returns when a thread waits for one of them.
  void await_access() const {
    ::uffd_msg message{};
    EXPECT_EQ(static_cast<ssize_t>(sizeof message), ::read(fd_, &message, sizeof message));
  }
  void provide() {
    ::uffdio_zeropage zero{};
    zero.range = {reinterpret_cast<std::uintptr_t>(at_), size_};
    (void)::ioctl(fd_, UFFDIO_ZEROPAGE, &zero);
  }

 private:
  std::size_t size_;
  char* at_;
  int fd_;
  bool works_;
};

// Linux 5.9 and 5.10.
TEST_F(FileWaits, AKernelThatSeesTheEndTooEarly) {
  ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), std::string(10'000, 'x')));
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        if (!answer_nowait_with(0)) _exit(77);
        _exit(baton::run([&] {
          const auto all = baton::read_file(path("f"));
          file f = file::open(path("f")).value();
          char c[4];
          return all.ok() && *all == std::string(10'000, 'x') && f.read_at(c, 9'998).value() == 2 &&
                         f.read_at(c, 10'000).value() == 0 && f.read_at(baton::bytes(), 0).value() == 0
                     ? 0
                     : 1;
        }));
      },
      [](int status) { return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77); }, "");
}

// The read that finds a message without content takes it: no other call may ask again.
TEST_F(FileWaits, AMessageWithoutContentIsReadAsNothing) {
  for (const auto type : {SOCK_DGRAM, SOCK_SEQPACKET}) {
    for (const bool blocks : {true, false}) {
      int ends[2];
      ASSERT_EQ(0, ::socketpair(AF_UNIX, type | SOCK_CLOEXEC | (blocks ? 0 : SOCK_NONBLOCK), 0, ends));
      file in = file::adopt(ends[0], "messages").value();
      const baton::sys::owned_fd out(ends[1]);
      ASSERT_EQ(0, ::send(out.get(), "", 0, 0));
      ASSERT_EQ(2, ::send(out.get(), "ab", 2, 0));
      char c[4];
      EXPECT_EQ(0u, in.read(c).value());
      EXPECT_EQ(2u, in.read(c).value());
    }
  }
}

// With O_DIRECT the kernel would fetch the content whatever the flags say. Without io_uring nothing is to be learnt of
// it.
TEST_F(FileWaits, DirectReadsAreDeclaredWithoutIoUring) {
  ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), std::string(10'000, 'x')));
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        alignas(4096) static char buffer[4096];
        const int probe = ::open(path("f").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
        if (probe < 0 || ::read(probe, buffer, sizeof buffer) != sizeof buffer) _exit(77);
        if (!answer_nowait_with(EOPNOTSUPP)) _exit(77);
        _exit(baton::run([&] {
          file opened = file::open(path("f"), O_RDONLY | O_DIRECT).value();
          file adopted = file::adopt(probe, "f").value();
          bool right = true;
          for (file* f : {&opened, &adopted}) {
            right = right && f->read_at(buffer, 4096).value() == 4096 && f->read_at(buffer, 8192).value() == 1808;
          }
          return right ? 0 : 1;
        }));
      },
      [](int status) { return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77); }, "");
}

// Few threads wait for the device, however many calls do. A call that waits for another process is not counted.
TEST_F(FileWaits, FewThreadsWaitForRegularFiles) {
  ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), std::string(absent_pages::page, 'x')));
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        constexpr std::size_t readers = 200;
        const baton::options few{.max_threads = 40};
        constexpr int at_once = 10;  // a quarter, and less than file_calls_at_once
        absent_pages pages(readers);
        if (!pages.works() || !answer_nowait_with(EAGAIN)) _exit(77);
        _exit(baton::run(
            [&] {
              file f = file::open(path("f")).value();
              baton::blocking_gate& gate = baton::detail::file_gate_of(f.stat()->st_dev);
              two_ends nobody_writes(0);
              std::atomic<bool> in_pipe{false};
              auto pipe_reader = baton::spawn([&] {
                char c;
                in_pipe = true;
                return nobody_writes.in.read(baton::bytes(&c, 1)).value();
              });
              std::vector<baton::fiber<bool>> all;
              for (std::size_t i = 0; i < readers; ++i) {
                all.push_back(
                    baton::spawn([&, i] { return f.read_at(pages.memory(i), 0).value() == absent_pages::page; }));
              }
              const auto full = [&] {
                return gate.stats().inside == at_once && gate.stats().waiting == readers - at_once;
              };
              while (!full() || !in_pipe) baton::this_fiber::yield();
              pages.provide();
              int wrong = 0;
              for (auto& r : all) wrong += r.join() ? 0 : 1;
              nobody_writes.out.write("x").IgnoreError();
              wrong += pipe_reader.join() == 1 ? 0 : 1;
              wrong += gate.stats().inside == 0 ? 0 : 1;
              baton::set_max_threads(10'000);
              wrong += gate.stats().at_once == baton::detail::file_calls_at_once ? 0 : 1;
              return wrong;
            },
            few));
      },
      [](int status) { return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77); }, "");
}

// The kernel's lock for the position is held by a read that waits. Another read there must not keep its P.
TEST_F(FileWaits, AReadAtThePositionOfAnotherThatWaits) {
  ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), std::string(2 * absent_pages::page, 'x')));
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::alarm(60);
        absent_pages pages(1);
        if (!pages.works()) _exit(77);
        file f = file::open(path("f")).value();
        std::thread other([&] {
          EXPECT_EQ(static_cast<ssize_t>(absent_pages::page),
                    ::read(f.native_handle(), pages.memory(0).data(), absent_pages::page));
        });
        pages.await_access();
        const int wrong = baton::run(
            [&] {
              auto provider = baton::spawn([&] { pages.provide(); });
              std::string text(absent_pages::page, '\0');
              const bool right = f.read(text).value() == text.size();
              provider.join();
              return right ? 0 : 1;
            },
            baton::options{.procs = 1, .rescue = false});
        other.join();
        _exit(wrong);
      },
      [](int status) { return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77); }, "");
}

// Also a call that waits for its turn at the device is parked, and ends with the file.
TEST_F(FileWaits, CloseEndsWhatWaitsForRoom) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::alarm(60);
        _exit(baton::run(
            [&] {
              file f = file::open(path("f"), O_RDWR | O_CREAT).value();
              baton::blocking_gate& gate = baton::detail::file_gate_of(f.stat()->st_dev);
              baton::detail::gate_entry all(gate);
              if (gate.stats().at_once != 1 || all.enter() != baton::sched::waiter::signalled) return 1;
              auto sync = baton::spawn([&] { return f.sync(); });
              auto write = baton::spawn([&] { return f.write("x").status(); });
              while (gate.stats().waiting != 2) baton::this_fiber::yield();
              if (!f.close().ok()) return 2;
              return sync.join() == absl::CancelledError("sync " + path("f") + ": closed") &&
                             absl::IsCancelled(write.join()) && gate.stats().waiting == 0
                         ? 0
                         : 3;
            },
            baton::options{.max_threads = 7}));
      },
      testing::ExitedWithCode(0), "");
}

// openat() takes more combinations of flags than openat2(). That says nothing about the kernel.
TEST_F(FileWaits, FlagsThatOpenat2RefusesChangeNothing) {
  using baton::detail::gate_of_path;
  if (&gate_of_path("/proc/self/status") == &gate_of_path(dir_)) GTEST_SKIP() << "this kernel has no RESOLVE_CACHED";
  EXPECT_TRUE(file::open(dir_, O_PATH | O_RDWR).ok());
  EXPECT_NE(&gate_of_path("/proc/self/status"), &gate_of_path(dir_));
}

// A destructor at exit closes a file in which a fiber waits: exit() does not wait for it.
TEST_F(FileWaits, ACloseAtExitWaitsForNobody) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        static two_ends p(O_NONBLOCK);
        static const struct closer {
          ~closer() { _exit(baton::errno_of(p.in.close()) == EBUSY && baton::errno_of(p.in.close()) == EBUSY ? 7 : 1); }
        } at_exit;
        ::alarm(60);
        baton::run([] {
          baton::test::watched_agent reading;
          baton::go([&reading] {
            char buffer[1];
            reading.about_to_wait();
            p.in.read(buffer).IgnoreError();
          });
          reading.await_parked();
        });
        std::exit(0);
      },
      testing::ExitedWithCode(7), "a file is left to those who use it");
}

// A call that makes files waits for its turn. A call that waits for the other end of a FIFO takes no turn.
TEST_F(FileWaits, MakingFilesPassesAGate) {
  ASSERT_EQ(0, ::mkfifo(path("fifo").c_str(), 0600));
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        _exit(baton::run(
            [&] {
              baton::blocking_gate& gate = baton::detail::gate_of_path(path("g"));
              auto fifo = baton::spawn([&] { return file::open(path("fifo"), O_WRONLY | O_CREAT).ok(); });
              baton::fiber<bool> made;
              {
                baton::detail::gate_entry all(gate);
                if (gate.stats().at_once != 1 || all.enter() != baton::sched::waiter::signalled) return 1;
                made = baton::spawn([&] { return baton::write_file(path("g"), "x").ok(); });
                while (gate.stats().waiting == 0) baton::this_fiber::yield();
                if (::access(path("g").c_str(), F_OK) == 0) return 2;
              }
              if (!made.join()) return 3;
              file other_end = file::open(path("fifo")).value();
              return fifo.join() && gate.stats().inside == 0 ? 0 : 4;
            },
            baton::options{.max_threads = 7}));
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(FileWaits, GatesAreForOneDeviceEach) {
  EXPECT_EQ(&baton::detail::file_gate_of(4711), &baton::detail::file_gate_of(4711));
  EXPECT_NE(&baton::detail::file_gate_of(4711), &baton::detail::file_gate_of(4712));
}

TEST_F(FileWaits, WhatIsNonBlockingParks) {
  baton::run([] {
    two_ends p(O_NONBLOCK);
    baton::test::watched_agent reading;
    char buffer[16];
    auto reader = baton::spawn([&] {
      reading.about_to_wait();
      return p.in.read(buffer);
    });
    reading.await_parked();
    EXPECT_EQ(4u, p.out.write("late").value());
    EXPECT_EQ(4u, reader.join().value());

    // More than the pipe holds.
    const std::string big(1 << 20, 'y');
    auto writer = baton::spawn([&] { return p.out.write(big); });
    std::string got;
    while (got.size() < big.size()) {
      std::string part(65536, '\0');
      part.resize(p.in.read(part).value());
      got += part;
    }
    EXPECT_EQ(big.size(), writer.join().value());
    EXPECT_EQ(big, got);
    EXPECT_EQ(absl::OkStatus(), p.out.close());
    EXPECT_EQ(0u, p.in.read(buffer).value());
  });
}

TEST_F(FileWaits, APlainThreadWaitsForWhatIsNonBlocking) {
  two_ends p(O_NONBLOCK);
  std::string got;
  std::thread reader([&] {
    char buffer[16];
    got = std::string(buffer, p.in.read(buffer).value());
  });
  EXPECT_EQ(4u, p.out.write("late").value());
  reader.join();
  EXPECT_EQ("late", got);
}

TEST_F(FileWaits, HowMuchWasWrittenBeforeTheFailure) {
  baton::run([] {
    two_ends p(O_NONBLOCK);
    baton::test::watched_agent writing;
    auto writer = baton::spawn([&] {
      writing.about_to_wait();
      return p.out.write(std::string(1 << 20, 'x')).status();
    });
    writing.await_parked();
    EXPECT_EQ(absl::OkStatus(), p.in.close());  // the reader closes: EPIPE
    const absl::Status s = writer.join();
    EXPECT_EQ(EPIPE, baton::errno_of(s)) << s;
    EXPECT_EQ(65536u, baton::written_of(s));
    EXPECT_EQ(baton::written_of(s), baton::net::written_of(s));
  });
}

TEST_F(FileWaits, AFileThatMayNotGrow) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::signal(SIGXFSZ, SIG_IGN);
        ::rlimit limit{};
        limit.rlim_cur = limit.rlim_max = 5000;
        ::setrlimit(RLIMIT_FSIZE, &limit);
        _exit(baton::run([&] {
          file f = file::open(path("f"), O_RDWR | O_CREAT).value();
          const absl::Status s = f.write(std::string(8000, 'x')).status();
          const absl::Status at = f.write_at(std::string(8000, 'x'), 1000).status();
          const absl::Status all = baton::write_file(path("g"), std::string(8000, 'x'));
          const auto is = [](const absl::Status& e, std::size_t n) {
            return baton::errno_of(e) == EFBIG && baton::written_of(e) == n && absl::IsOutOfRange(e);
          };
          return is(s, 5000) && is(at, 4000) && is(all, 5000) && f.stat()->st_size == 5000 ? 0 : 1;
        }));
      },
      testing::ExitedWithCode(0), "");
}

// The kernel takes 2 GiB less a page at once.
TEST_F(FileWaits, MoreThanOneCallTakes) {
  const std::size_t size = std::size_t{3} << 30;
  void* const at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) GTEST_SKIP() << "no address space";
  baton::run([&] {
    file nothing = file::open("/dev/null", O_WRONLY).value();
    EXPECT_EQ(size, nothing.write(baton::const_bytes(at, size)).value());
  });
  ::munmap(at, size);
}

TEST_F(FileWaits, OffsetsAtTheEndOfAllOffsets) {
  baton::run([&] {
    file f = file::open(path("f"), O_RDWR | O_CREAT).value();
    constexpr off_t last = std::numeric_limits<off_t>::max();
    char c[4] = {};
    for (const off_t at : {last, last - 3}) {
      const auto n = f.read_at(c, at);
      EXPECT_TRUE(n.ok() ? *n == 0 : baton::errno_of(n.status()) == EINVAL || baton::errno_of(n.status()) == EOVERFLOW)
          << n.status();
      const int error = baton::errno_of(f.write_at("text", at).status());
      EXPECT_TRUE(error == EFBIG || error == EINVAL || error == EOVERFLOW) << error;
    }
    EXPECT_EQ(0, f.stat()->st_size);
  });
}

TEST_F(FileWaits, NamesWithANulAreNobodys) {
  baton::run([&] {
    ASSERT_EQ(absl::OkStatus(), baton::write_file(path("f"), "untouched"));
    const std::string cut = path("f") + std::string("\0.txt", 5);
    EXPECT_EQ(EINVAL, baton::errno_of(baton::write_file(cut, "x")));
    EXPECT_EQ(EINVAL, baton::errno_of(baton::read_file(cut).status()));
    EXPECT_EQ(EINVAL, baton::errno_of(file::open(cut, O_RDWR).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(file::open(cut).status()));
    EXPECT_EQ("untouched", baton::read_file(path("f")).value());
  });
}

TEST_F(FileWaits, AppendingHasNoOffset) {
  baton::run([&] {
    file f = file::open(path("f"), O_RDWR | O_CREAT | O_APPEND).value();
    EXPECT_EQ(3u, f.write("abc").value());
    EXPECT_EQ(EINVAL, baton::errno_of(f.write_at("X", 0).status()));
    EXPECT_EQ("abc", baton::read_file(path("f")).value());
    ASSERT_EQ(0, ::fcntl(f.native_handle(), F_SETFL, 0));
    EXPECT_EQ(1u, f.write_at("X", 0).value());
    EXPECT_EQ("Xbc", baton::read_file(path("f")).value());
    EXPECT_EQ(EINVAL, baton::errno_of(f.write_at("X", -1).status()));
  });
}

TEST_F(FileWaits, AnAdoptedOrBorrowedFileThatAppendsHasNoOffset) {
  baton::run([&] {
    const int fd = ::open(path("f").c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ASSERT_LE(0, fd);
    file other = file::borrow(fd, "other").value();
    file own = file::adopt(fd, "own").value();
    EXPECT_EQ(EINVAL, baton::errno_of(own.write_at("X", 0).status()));
    EXPECT_EQ(EINVAL, baton::errno_of(other.write_at("X", 0).status()));
    // The owner of a borrowed file may change that at any time.
    ASSERT_EQ(0, ::fcntl(fd, F_SETFL, 0));
    EXPECT_EQ(1u, other.write_at("X", 0).value());
    ASSERT_EQ(0, ::fcntl(fd, F_SETFL, O_APPEND));
    EXPECT_EQ(EINVAL, baton::errno_of(other.write_at("Y", 0).status()));
    EXPECT_EQ("X", baton::read_file(path("f")).value());
    EXPECT_EQ(absl::OkStatus(), other.close());
  });
}

TEST_F(FileWaits, CloseEndsWhatIsParked) {
  baton::run([] {
    two_ends p(O_NONBLOCK);
    baton::test::watched_agent reading;
    auto reader = baton::spawn([&] {
      char c;
      reading.about_to_wait();
      return p.in.read(baton::bytes(&c, 1)).status();
    });
    reading.await_parked();
    auto second = baton::spawn([&] { return p.in.close(); });
    const absl::Status first = p.in.close();
    const absl::Status other = second.join();
    EXPECT_TRUE(first.ok() != other.ok()) << first << other;
    const absl::Status s = reader.join();
    EXPECT_EQ(absl::StatusCode::kCancelled, s.code()) << s;
    EXPECT_EQ("read in: closed", std::string(s.message()));
    char c;
    EXPECT_EQ(EBADF, baton::errno_of(p.in.read(baton::bytes(&c, 1)).status()));
  });
}

// While a call uses the descriptor's number no other file gets it.
TEST_F(FileWaits, CloseWaitsForCallsUnderWay) {
  baton::run([&] {
    ASSERT_EQ(absl::OkStatus(), baton::write_file(path("mine"), "m"));
    ASSERT_EQ(absl::OkStatus(), baton::write_file(path("other"), "o"));
    for (int round = 0; round < 300; ++round) {
      file f = file::open(path("mine")).value();
      std::vector<baton::fiber<bool>> readers;
      for (int i = 0; i < 4; ++i) {
        readers.push_back(baton::spawn([&] {
          for (;;) {
            char c = 'm';
            const auto n = f.read_at(baton::bytes(&c, 1), 0);
            if (!n.ok()) return baton::errno_of(n.status()) == EBADF;
            if (c != 'm') return false;
            baton::this_fiber::yield();
          }
        }));
      }
      baton::this_fiber::yield();
      EXPECT_EQ(absl::OkStatus(), f.close());
      const file other = file::open(path("other")).value();  // gets the number
      for (auto& r : readers) EXPECT_TRUE(r.join());
    }
  });
}

// Also of a pipe that was blocking when it was adopted.
TEST_F(FileWaits, CloseEndsAReadOfAPipe) {
  baton::run([] {
    two_ends p(0);
    baton::test::watched_agent reading;
    auto reader = baton::spawn([&] {
      char c;
      reading.about_to_wait();
      return p.in.read(baton::bytes(&c, 1)).status();
    });
    reading.await_parked();
    EXPECT_EQ(absl::OkStatus(), p.in.close());
    EXPECT_TRUE(absl::IsCancelled(reader.join()));
    EXPECT_FALSE(p.in.is_open());
    EXPECT_EQ(EPIPE, baton::errno_of(p.out.write("x").status()));
  });
}

}  // namespace
