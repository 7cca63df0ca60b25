// Pipes: data and ends, deadlines, contexts, close, adopt and release.
#include <baton/netpoll/pipe.h>

#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
namespace sys = baton::sys;

std::string read_all(baton::pipe_reader& from) {
  std::string all;
  std::array<char, 4096> part;
  for (;;) {
    const auto n = from.read(part);
    EXPECT_TRUE(n.ok()) << n.status();
    if (!n.ok() || *n == 0) return all;
    all.append(part.data(), *n);
  }
}

TEST(Pipe, CarriesMoreThanItHoldsAndThenTheEnd) {
  baton::run([] {
    auto ends = baton::make_pipe();
    ASSERT_TRUE(ends.ok());
    const std::string sent(300'000, 'x');
    auto writer = baton::spawn([&, w = std::move(ends->writer)]() mutable {
      const auto n = w.write(sent);
      EXPECT_TRUE(n.ok() && *n == sent.size());
    });
    EXPECT_EQ(read_all(ends->reader), sent);
    writer.join();
  });
}

TEST(Pipe, WithoutAReaderAWriteGivesEpipeAndSaysHowMuchWasWritten) {
  baton::run([] {
    auto ends = baton::make_pipe();
    ASSERT_TRUE(ends.ok());
    const auto size = static_cast<std::size_t>(sys::fcntl(ends->writer.native_handle(), F_GETPIPE_SZ).value());
    auto closes = baton::spawn([&] {
      std::array<char, 1> one;
      EXPECT_TRUE(ends->reader.read(one).ok());  // something of the write has come
      ends->reader.close();
    });
    const auto n = ends->writer.write(std::string(size * 2, 'y'));
    closes.join();
    EXPECT_EQ(baton::errno_of(n.status()), EPIPE) << n.status();
    EXPECT_GT(baton::written_of(n.status()), 0U);
    EXPECT_LT(baton::written_of(n.status()), size * 2);
  });
}

TEST(Pipe, DeadlinesContextsAndCloseEndReadsThatWait) {
  baton::run([] {
    auto ends = baton::make_pipe();
    ASSERT_TRUE(ends.ok());
    std::array<char, 8> part;
    ends->reader.set_deadline(std::chrono::steady_clock::now() + 1ms);
    EXPECT_EQ(ends->reader.read(part).status().code(), absl::StatusCode::kDeadlineExceeded);
    ends->reader.set_deadline(std::chrono::steady_clock::time_point::max());
    auto ctx = baton::with_cancel(baton::context::background());
    ends->reader.set_context(ctx);
    auto waits = baton::spawn([&] { return ends->reader.read(part).status(); });
    ctx.cancel(absl::AbortedError("enough"));
    EXPECT_EQ(waits.join().code(), absl::StatusCode::kAborted);
    ends->reader.set_context(baton::context::background());
    auto again = baton::spawn([&] { return ends->reader.read(part).status(); });
    ends->reader.close();
    EXPECT_EQ(again.join().code(), absl::StatusCode::kCancelled);
    EXPECT_FALSE(ends->reader.is_open());
    EXPECT_EQ(baton::pipe_reader().read(part).status().code(), absl::StatusCode::kFailedPrecondition);
  });
}

TEST(Pipe, ReleaseGivesTheNumberBackAndAdoptTakesIt) {
  baton::run([] {
    auto ends = baton::make_pipe();
    ASSERT_TRUE(ends.ok());
    const int number = ends->reader.native_handle();
    EXPECT_EQ(ends->reader.release(), number);
    EXPECT_EQ(ends->reader.release(), -1);
    EXPECT_GE(::fcntl(number, F_GETFD), 0);
    auto reader = baton::pipe_reader::adopt(number, "again");
    ASSERT_TRUE(reader.ok());
    ASSERT_TRUE(ends->writer.write("kept").ok());
    ends->writer.close();
    EXPECT_EQ(read_all(*reader), "kept");
    reader->close();
    EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  });
}

TEST(Pipe, WhatCannotBePolledStaysTheCallers) {
  const sys::owned_fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const auto reader = baton::pipe_reader::adopt(file.get(), "exe");
  EXPECT_EQ(baton::errno_of(reader.status()), EPERM) << reader.status();
  EXPECT_GE(::fcntl(file.get(), F_GETFD), 0);
  EXPECT_EQ(::fcntl(file.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(baton::errno_of(baton::pipe_writer::adopt(-1).status()), EBADF);
}

// A fiber talks to a thread that the scheduler does not know: each answer comes out of the poller as a single fiber,
// and the M that brings it leaves the poller to another one. Meanwhile timers, and fibers that come from outside, need
// the sleepers, too.
TEST(Pipe, AnswersFromOutsideArriveWhateverElseGoesOn) {
  constexpr int rounds = 4'000;
  std::array<int, 2> there, back;
  ASSERT_EQ(::pipe2(there.data(), O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(back.data(), O_CLOEXEC), 0);
  std::thread echo([&] {
    char c = 0;
    while (::read(there[0], &c, 1) == 1 && ::write(back[1], &c, 1) == 1) {
    }
  });
  std::atomic<bool> over{false};
  std::thread starter([&] {
    while (!over.load()) baton::spawn([] {}).join();
  });
  baton::run([&] {
    auto sleeps = baton::spawn([&] {
      while (!over.load()) baton::this_fiber::sleep_for(100us);
    });
    auto to = baton::pipe_writer::adopt(there[1], "there");
    auto from = baton::pipe_reader::adopt(back[0], "back");
    ASSERT_TRUE(to.ok() && from.ok());
    int answers = 0;
    for (int i = 0; i < rounds; ++i) {
      if (i == rounds / 2) over.store(true);  // the second half is undisturbed
      char c = static_cast<char>(i);
      if (!to->write(baton::const_bytes(&c, 1)).ok() || from->read(baton::bytes(&c, 1)).value_or(0) != 1) break;
      answers += c == static_cast<char>(i) ? 1 : 0;
    }
    over.store(true);
    EXPECT_EQ(answers, rounds);
    to->close();
    sleeps.join();
  });
  starter.join();
  echo.join();
  for (const int fd : {there[0], back[1]}) EXPECT_EQ(::close(fd), 0);
}

TEST(Pipe, APlainThreadUsesItToo) {
  auto ends = baton::make_pipe();
  ASSERT_TRUE(ends.ok());
  auto writer = baton::spawn([&] { EXPECT_TRUE(ends->writer.write("from a fiber").ok()); });
  std::array<char, 64> part;
  const auto n = ends->reader.read(part);
  writer.join();
  ASSERT_TRUE(n.ok());
  EXPECT_EQ(std::string(part.data(), *n), "from a fiber");
}

}  // namespace
