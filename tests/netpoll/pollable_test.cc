// Descriptors of any kind: waiting, calls that are tried again, deadlines, contexts, close and release.
#include <baton/netpoll/pollable.h>

#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/syscall/fork_exec.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/processes.h>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
namespace sys = baton::sys;

void add(int fd, std::uint64_t n) { EXPECT_EQ(::write(fd, &n, sizeof n), ssize_t{sizeof n}); }

sys::result<std::uint64_t> take(int fd) {
  std::uint64_t n = 0;
  const auto got = sys::nb::read(fd, baton::bytes(reinterpret_cast<char*>(&n), sizeof n));
  if (!got) return sys::failure(got.error());
  return n;
}

TEST(Pollable, WaitsUntilItIsReadyAndTriesAgain) {
  baton::run([] {
    auto p = baton::net::pollable::adopt(::eventfd(0, EFD_CLOEXEC));
    ASSERT_TRUE(p.ok()) << p.status();
    const int fd = p->native_handle();
    EXPECT_TRUE(p->wait_writable().ok());
    auto waits = baton::spawn([&] { return p->wait_readable(); });
    add(fd, 5);
    EXPECT_TRUE(waits.join().ok());
    EXPECT_TRUE(p->wait_readable().ok());  // it still is
    EXPECT_EQ(p->read_with(take), 5U);
    auto reads = baton::spawn([&] { return p->read_with(take); });
    add(fd, 7);
    EXPECT_EQ(reads.join(), 7U);
    EXPECT_EQ(p->write_with([](int) { return sys::result<int>(sys::failure(EIO)); }).error(), EIO);
  });
}

TEST(Pollable, WaitsForWhatTheKernelHands) {
  baton::run([] {
    const auto must_adopt = [](int fd) {
      auto p = baton::net::pollable::adopt(fd);
      EXPECT_TRUE(p.ok()) << p.status();
      return *std::move(p);
    };
    baton::net::pollable timer = must_adopt(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    const itimerspec soon{{}, {0, 1'000'000}};
    ASSERT_EQ(::timerfd_settime(timer.native_handle(), 0, &soon, nullptr), 0);
    EXPECT_EQ(timer.read_with(take), 1U) << "times that it has expired";

    char folder[] = "/tmp/baton-pollable.XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    baton::net::pollable watch = must_adopt(::inotify_init1(IN_CLOEXEC));
    ASSERT_GE(::inotify_add_watch(watch.native_handle(), folder, IN_CREATE | IN_ONLYDIR), 0);
    char event[sizeof(inotify_event) + NAME_MAX + 1];
    auto created =
        baton::spawn([&] { return watch.read_with([&](int fd) { return sys::nb::read(fd, baton::bytes(event)); }); });
    const std::string file = std::string(folder) + "/new";
    const int fd = ::open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ::close(fd);
    EXPECT_TRUE(created.join());
    EXPECT_STREQ(event + offsetof(inotify_event, name), "new");
    ::unlink(file.c_str());
    ::rmdir(folder);

    const auto child = sys::fork_exec("/bin/sleep", {"sleep", "1000"});
    ASSERT_TRUE(child);
    const auto pidfd = sys::pidfd_open(*child, 0);
    if (!pidfd) {
      EXPECT_EQ(pidfd.error(), ENOSYS);
      ::kill(*child, SIGKILL);
    } else {
      baton::net::pollable end = must_adopt(*pidfd);
      auto ends = baton::spawn([&] { return end.wait_readable(); });
      ::kill(*child, SIGKILL);
      EXPECT_TRUE(ends.join().ok());
    }
    EXPECT_TRUE(sys::wait4(*child, 0));
  });
}

TEST(Pollable, DeadlinesContextsAndCloseEndWaits) {
  baton::run([] {
    auto p = baton::net::pollable::adopt(::eventfd(0, EFD_CLOEXEC));
    ASSERT_TRUE(p.ok());
    p->set_deadline(std::chrono::steady_clock::now() + 1ms);
    EXPECT_EQ(p->wait_readable().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(p->read_with(take).error(), ETIMEDOUT);
    p->set_deadline(std::chrono::steady_clock::time_point::max());
    auto ctx = baton::with_cancel(baton::context::background());
    p->set_context(ctx);
    auto waits = baton::spawn([&] { return p->wait_readable(); });
    ctx.cancel(absl::AbortedError("enough"));
    EXPECT_EQ(waits.join().code(), absl::StatusCode::kAborted);
    EXPECT_EQ(p->read_with(take).error(), ECANCELED);
    p->set_context(baton::context::background());
    auto again = baton::spawn([&] { return p->wait_readable(); });
    p->close();
    EXPECT_EQ(again.join().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(baton::net::pollable().wait_readable().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(baton::net::pollable().read_with(take).error(), EBADF);
  });
}

TEST(Pollable, TheNumberCanBeTakenBackAndStaysTheCallersAfterAnError) {
  const int fd = ::eventfd(0, EFD_CLOEXEC);
  auto p = baton::net::pollable::adopt(fd);
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(p->release(), fd);
  EXPECT_EQ(p->native_handle(), -1);
  EXPECT_GE(::fcntl(fd, F_GETFD), 0);
  ::close(fd);
  const sys::owned_fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(baton::errno_of(baton::net::pollable::adopt(file.get()).status()), EPERM);
  EXPECT_GE(::fcntl(file.get(), F_GETFD), 0);
  EXPECT_EQ(baton::errno_of(baton::net::pollable::adopt(-1).status()), EBADF);
}

}  // namespace
