// Files that do not lie on a device: they park, take deadlines and contexts, and keep no thread.
#include "parked.h"

#include "system_call_filter.h"

#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/status.h>
#include <syscall/temporary_directory.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/loop.h>
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using baton::file;
using namespace std::chrono_literals;

struct numbers {
  explicit numbers(int flags = 0) { EXPECT_EQ(0, ::pipe2(at.data(), O_CLOEXEC | flags)); }
  std::array<int, 2> at{};
};

int status_flags(int fd) { return ::fcntl(fd, F_GETFL); }

// What can be polled, by kinds: each pair is the end that is read, and the end that makes it readable.
std::vector<std::pair<file, file>> readable_kinds() {
  std::vector<std::pair<file, file>> all;
  const numbers pipe;
  all.emplace_back(file::adopt(pipe.at[0], "pipe").value(), file::adopt(pipe.at[1], "pipe").value());
  int ends[2];
  EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
  all.emplace_back(file::adopt(ends[0], "socket").value(), file::adopt(ends[1], "socket").value());
  int master = -1;
  int slave = -1;
  ::termios raw{};
  ::cfmakeraw(&raw);
  EXPECT_EQ(0, ::openpty(&master, &slave, nullptr, &raw, nullptr));
  all.emplace_back(file::adopt(slave, "terminal").value(), file::adopt(master, "terminal").value());
  const int counter = ::eventfd(0, EFD_CLOEXEC);
  all.emplace_back(file::adopt(counter, "counter").value(), file::adopt(::dup(counter), "counter").value());
  return all;
}

TEST(FilePolled, EveryKindParks) {
  baton::run([] {
    for (auto& [in, out] : readable_kinds()) {
      baton::test::watched_agent reading;
      auto reader = baton::spawn([&, &in = in] {
        std::uint64_t word = 0;
        reading.about_to_wait();
        const auto n = in.read(baton::bytes(&word, sizeof word));
        return n.ok() ? *n : 0;
      });
      reading.await_parked();
      const std::uint64_t one = 1;
      EXPECT_EQ(sizeof one, out.write(baton::const_bytes(&one, sizeof one)).value()) << in.path();
      EXPECT_EQ(sizeof one, reader.join()) << in.path();
    }
  });
}

TEST(FilePolled, EveryKindTakesDeadlines) {
  baton::run([] {
    for (auto& [in, out] : readable_kinds()) {
      char buffer[8];
      EXPECT_EQ(absl::OkStatus(), in.set_read_deadline(std::chrono::steady_clock::now() + 1ms));
      const absl::Status late = in.read(buffer).status();
      EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
      EXPECT_EQ("read " + in.path() + ": deadline exceeded", std::string(late.message()));
      const std::uint64_t one = 1;
      EXPECT_TRUE(out.write(baton::const_bytes(&one, sizeof one)).ok());
      EXPECT_TRUE(absl::IsDeadlineExceeded(in.read(buffer).status())) << "a deadline in the past comes first";
      EXPECT_EQ(absl::OkStatus(), in.set_deadline(std::chrono::steady_clock::time_point::max()));
      EXPECT_EQ(8u, in.read(buffer).value());
    }
  });
}

TEST(FilePolled, ADeadlineEndsACallThatWaits) {
  baton::run([] {
    const numbers p;
    file in = file::adopt(p.at[0], "in").value();
    file out = file::adopt(p.at[1], "out").value();
    baton::test::watched_agent writing;
    auto writer = baton::spawn([&] {
      writing.about_to_wait();
      return out.write(std::string(1 << 20, 'x')).status();
    });
    writing.await_parked();
    EXPECT_EQ(absl::OkStatus(), out.set_write_deadline(std::chrono::steady_clock::now()));
    const absl::Status s = writer.join();
    EXPECT_TRUE(absl::IsDeadlineExceeded(s)) << s;
    EXPECT_EQ(65536u, baton::written_of(s));
  });
}

TEST(FilePolled, AContextEndsACallThatWaits) {
  baton::run([] {
    const numbers p;
    file in = file::adopt(p.at[0], "in").value();
    const file out = file::adopt(p.at[1], "out").value();
    const auto ctx = baton::with_cancel(baton::context::background());
    EXPECT_EQ(absl::OkStatus(), in.set_context(ctx));
    baton::test::watched_agent reading;
    auto reader = baton::spawn([&] {
      char c;
      reading.about_to_wait();
      return in.read(baton::bytes(&c, 1)).status();
    });
    reading.await_parked();
    ctx.cancel(absl::AbortedError("no longer wanted"));
    const absl::Status s = reader.join();
    EXPECT_EQ(absl::AbortedError("read in: no longer wanted"), s);
    EXPECT_EQ(absl::OkStatus(), in.set_context(baton::context::background()));
    EXPECT_EQ(absl::OkStatus(), in.set_read_deadline(std::chrono::steady_clock::now()));
    char c;
    EXPECT_TRUE(absl::IsDeadlineExceeded(in.read(baton::bytes(&c, 1)).status()));
  });
}

TEST(FilePolled, WhatLiesOnADeviceHasNoDeadline) {
  const temporary_directory dir;
  file f = file::open(dir / "f", O_RDWR | O_CREAT).value();
  EXPECT_EQ(EPERM, baton::errno_of(f.set_deadline(std::chrono::steady_clock::now())));
  EXPECT_EQ(EPERM, baton::errno_of(f.set_context(baton::context::background())));
  EXPECT_EQ(absl::OkStatus(), f.close());
  EXPECT_EQ(EBADF, baton::errno_of(f.set_deadline(std::chrono::steady_clock::now())));
  EXPECT_EQ(EBADF, baton::errno_of(file().set_deadline(std::chrono::steady_clock::now())));
  file nothing = file::open("/dev/null", O_RDWR).value();
  EXPECT_EQ(EPERM, baton::errno_of(nothing.set_deadline(std::chrono::steady_clock::now())));
  EXPECT_EQ(1u, nothing.write("x").value());
  char c;
  EXPECT_EQ(0u, nothing.read(baton::bytes(&c, 1)).value());
}

// O_NONBLOCK is set on what is the file's own, and only there.
TEST(FilePolled, WhatBecomesNonBlocking) {
  const temporary_directory dir;
  const numbers p;
  file in = file::adopt(p.at[0], "in").value();
  EXPECT_NE(0, status_flags(p.at[0]) & O_NONBLOCK);
  EXPECT_EQ(p.at[0], in.release());
  EXPECT_FALSE(in.is_open());
  EXPECT_EQ(-1, in.release());
  EXPECT_EQ(0, status_flags(p.at[0]) & O_NONBLOCK) << "blocking again";
  {
    const file borrowed = file::borrow(p.at[0], "in").value();
    EXPECT_EQ(0, status_flags(p.at[0]) & O_NONBLOCK);
  }
  EXPECT_GE(status_flags(p.at[0]), 0) << "it is not closed";

  const file regular = file::open(dir / "f", O_RDWR | O_CREAT).value();
  EXPECT_EQ(0, status_flags(regular.native_handle()) & O_NONBLOCK);
  const file asked = file::open(dir / "f", O_RDWR | O_NONBLOCK).value();
  EXPECT_NE(0, status_flags(asked.native_handle()) & O_NONBLOCK);
  ::close(p.at[0]);
  ::close(p.at[1]);
}

TEST(FilePolled, ABorrowedPipeThatBlocksParks) {
  baton::run([] {
    const numbers p;
    file in = file::borrow(p.at[0], "in").value();
    file out = file::borrow(p.at[1], "out").value();
    baton::test::watched_agent reading;
    auto reader = baton::spawn([&] {
      char buffer[16];
      reading.about_to_wait();
      const auto n = in.read(buffer);
      return n.ok() ? std::string(buffer, *n) : n.status().ToString();
    });
    reading.await_parked();
    EXPECT_EQ(4u, out.write("late").value());
    EXPECT_EQ("late", reader.join());

    const std::string big(1 << 18, 'y');
    auto writer = baton::spawn([&] { return out.write(big).ok(); });
    std::string got;
    while (got.size() < big.size()) {
      std::string part(65536, '\0');
      part.resize(in.read(part).value());
      got += part;
    }
    EXPECT_TRUE(writer.join());
    EXPECT_EQ(big, got);
    EXPECT_EQ(absl::OkStatus(), in.set_read_deadline(std::chrono::steady_clock::now()));
    char c;
    EXPECT_TRUE(absl::IsDeadlineExceeded(in.read(baton::bytes(&c, 1)).status()));
    EXPECT_EQ(0, status_flags(p.at[0]) & O_NONBLOCK);
    ::close(p.at[0]);
    ::close(p.at[1]);
  });
}

TEST(FilePolled, NothingIsReadAtOnce) {
  const numbers p;
  file in = file::borrow(p.at[0], "in").value();
  EXPECT_EQ(0u, in.read(baton::bytes()).value());
  file own = file::adopt(p.at[0], "in").value();
  EXPECT_EQ(0u, own.read(baton::bytes()).value());
  ::close(p.at[1]);
}

// All threads find from now on that no descriptor can be polled.
bool refuse_to_poll() {
  return baton_test::filter_call(SYS_epoll_ctl, baton_test::fails_with(EPERM), SECCOMP_FILTER_FLAG_TSYNC) == 0;
}

// A device whose driver knows O_NONBLOCK, but not poll(): the runtime has set the flag, so the user does not see it.
TEST(FilePolledDeathTest, WhatWaitsButCannotBePolled) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::alarm(60);
        _exit(baton::run([] {
          const numbers p;
          const numbers q(O_NONBLOCK);
          file in = file::adopt(p.at[0], "in").value();
          file out = file::adopt(p.at[1], "out").value();
          file asked = file::adopt(q.at[0], "asked").value();
          if (!refuse_to_poll()) _exit(77);
          char c[4];
          if (baton::errno_of(asked.read(c).status()) != EAGAIN) return 1;
          auto reader = baton::spawn([&] { return in.read(c); });
          while (baton::stats().fibers_parked == 0) baton::this_fiber::yield();
          if (out.write("late").value() != 4 || reader.join().value() != 4) return 2;
          auto closed = baton::spawn([&] { return in.read(c).status(); });
          while (baton::stats().fibers_parked == 0) baton::this_fiber::yield();
          return in.close().ok() && absl::IsCancelled(closed.join()) ? 0 : 3;
        }));
      },
      [](int status) { return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77); }, "");
}

// The drive belongs to this one alone, although it is opened in two steps.
TEST(FilePolled, ABlockDeviceForItsOpenerAlone) {
  const temporary_directory dir;
  ASSERT_EQ(absl::OkStatus(), baton::write_file(dir / "disk", std::string(1 << 20, 'd')));
  const baton::sys::owned_fd disk(::open((dir / "disk").c_str(), O_RDWR | O_CLOEXEC));
  const baton::sys::owned_fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  const int i = control ? ::ioctl(control.get(), LOOP_CTL_GET_FREE) : -1;
  const std::string path = "/dev/loop" + std::to_string(i);
  const baton::sys::owned_fd loop(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!loop || ::ioctl(loop.get(), LOOP_SET_FD, disk.get()) != 0) GTEST_SKIP() << "no loop device for us here";
  {
    auto f = file::open(path, O_RDWR | O_EXCL);
    EXPECT_TRUE(f.ok()) << f.status();
    char c = 0;
    if (f.ok()) {
      EXPECT_EQ(1u, f->read_at(baton::bytes(&c, 1), 4711).value());
    }
    EXPECT_EQ('d', c);
    EXPECT_EQ(EBUSY, baton::errno_of(file::open(path, O_RDWR | O_EXCL).status()));
  }
  EXPECT_EQ(0, ::ioctl(loop.get(), LOOP_CLR_FD));
}

TEST(FilePolled, ABadNumberIsAnErrorAtOnce) {
  EXPECT_EQ(EBADF, baton::errno_of(file::adopt(-1, "none").status()));
  EXPECT_EQ("adopt none: Bad file descriptor (EBADF)", std::string(file::adopt(-1, "none").status().message()));
  EXPECT_EQ(EBADF, baton::errno_of(file::borrow(1'000'000, "none").status()));
}

class Fifos : public testing::Test {
 protected:
  std::string make(int i) {
    const std::string path = dir_ / ("fifo" + std::to_string(i));
    EXPECT_EQ(0, ::mkfifo(path.c_str(), 0600));
    return path;
  }
  temporary_directory dir_;
};

// Readers wait for writers, and writers for readers, as open(2) makes them; but no thread waits.
TEST_F(Fifos, OpensThatWaitKeepNoThread) {
  baton::run([this] {
    constexpr int each = 250;
    std::vector<std::string> paths;
    for (int i = 0; i < 2 * each; ++i) paths.push_back(make(i));
    std::atomic<int> begun{0};
    std::atomic<int> opened{0};
    std::vector<baton::fiber<bool>> fibers;
    for (int i = 0; i < 2 * each; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        ++begun;
        const auto f = file::open(paths[static_cast<std::size_t>(i)], i < each ? O_RDONLY : O_WRONLY);
        ++opened;
        return f.ok();
      }));
    }
    while (begun < 2 * each || baton::stats().fibers_parked < 2 * each) baton::this_fiber::yield();
    EXPECT_LT(baton::stats().threads, 64u);
    EXPECT_EQ(0, opened);
    // A file can be opened meanwhile.
    EXPECT_EQ(absl::OkStatus(), baton::write_file(dir_ / "f", "x"));
    EXPECT_EQ("x", baton::read_file(dir_ / "f").value());
    std::vector<file> others;
    for (int i = 0; i < 2 * each; ++i) {
      others.push_back(
          file::open(paths[static_cast<std::size_t>(i)], i < each ? O_WRONLY : O_RDONLY | O_NONBLOCK).value());
    }
    for (auto& f : fibers) EXPECT_TRUE(f.join());
  });
}

TEST_F(Fifos, OpenAsOpen2Does) {
  const std::string path = make(0);
  EXPECT_EQ(ENXIO, baton::errno_of(file::open(path, O_WRONLY | O_NONBLOCK).status()));
  EXPECT_TRUE(file::open(path, O_RDONLY | O_NONBLOCK).ok());
  EXPECT_TRUE(file::open(path, O_RDWR).ok());
  baton::run([&] {
    auto writer = baton::spawn([&] {
      file out = file::open(path, O_WRONLY).value();
      return out.write("through").ok();
    });
    EXPECT_EQ("through", baton::read_file(path).value()) << "to the end, which comes with the writer's close";
    EXPECT_TRUE(writer.join());
  });
}

// The device's number has no driver: no reader will come.
TEST(FilePolled, OtherFilesWithoutAnotherEnd) {
  const temporary_directory dir;
  const int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::sockaddr_storage storage{};
  auto* const address = reinterpret_cast<::sockaddr*>(&storage);
  address->sa_family = AF_UNIX;
  const std::string path = dir / "s";
  ASSERT_LT(path.size(), 100u);
  path.copy(address->sa_data, path.size());
  ASSERT_EQ(0, ::bind(s, address, static_cast<::socklen_t>(sizeof(sa_family_t) + path.size() + 1)));
  EXPECT_EQ(ENXIO, baton::errno_of(file::open(path, O_WRONLY).status()));
  ::close(s);
}

// The holder of a lease is told, and the opens wait for it without a thread.
TEST(FilePolled, OpensThatWaitForALeaseKeepNoThread) {
  const temporary_directory dir;
  ASSERT_EQ(absl::OkStatus(), baton::write_file(dir / "f", "content"));
  const baton::sys::owned_fd holder(::open((dir / "f").c_str(), O_RDONLY | O_CLOEXEC));
  const auto former = ::signal(SIGIO, SIG_IGN);
  if (::fcntl(holder.get(), F_SETLEASE, F_RDLCK) != 0) GTEST_SKIP() << "no leases here";
  baton::run([&] {
    constexpr int opens = 500;
    std::atomic<int> begun{0};
    std::vector<baton::fiber<bool>> fibers;
    for (int i = 0; i < opens; ++i) {
      fibers.push_back(baton::spawn([&] {
        ++begun;
        return file::open(dir / "f", O_WRONLY).ok();
      }));
    }
    while (begun < opens || baton::stats().fibers_parked < opens) baton::this_fiber::yield();
    EXPECT_LT(baton::stats().threads, 64u);
    EXPECT_EQ(EAGAIN, baton::errno_of(file::open(dir / "f", O_WRONLY | O_NONBLOCK).status()));
    EXPECT_EQ(0, ::fcntl(holder.get(), F_SETLEASE, F_UNLCK));
    for (auto& f : fibers) EXPECT_TRUE(f.join());
  });
  ::signal(SIGIO, former);
}

}  // namespace
