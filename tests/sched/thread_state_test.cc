// What is visible of a thread from outside.
#include <baton/sched/platform/thread_state.h>

#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/thread.h>

#include <gtest/gtest.h>

#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <thread>

namespace {

using namespace baton::sched::platform;
using kind = thread_call_state::kind;

class a_thread {
 public:
  template <class F>
  explicit a_thread(F f)
      : thread_([this, f] {
          tid_ = thread_id();
          f();
        }) {
    while (tid_ == 0) std::this_thread::yield();
  }
  ~a_thread() {
    if (thread_.joinable()) thread_.join();
  }
  void join() { thread_.join(); }
  [[nodiscard]] std::int32_t tid() const { return tid_; }

 private:
  std::atomic<std::int32_t> tid_{0};
  std::thread thread_;
};

TEST(ThreadState, OfOneThatComputes) {
  std::atomic<bool> stop{false};
  const a_thread t([&] {
    while (!stop) {
    }
  });
  const std::int64_t before = thread_cpu_ns(t.tid());
  EXPECT_GE(before, 0);
  while (thread_cpu_ns(t.tid()) < before + 1'000'000) std::this_thread::yield();
  EXPECT_EQ(thread_letter(t.tid()), 'R');
  EXPECT_TRUE(thread_is_runnable(t.tid()));
  EXPECT_GE(thread_run_delay_ns(t.tid()), -1);
  EXPECT_EQ(thread_call(t.tid()).what, kind::running);
  stop = true;
}

TEST(ThreadState, OfOneThatReadsFromAPipe) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  char c = 0;
  a_thread t([&] { EXPECT_EQ(::read(fds[0], &c, 1), 1); });
  thread_call_state s;
  do s = thread_call(t.tid());
  while (s.what != kind::in_call || s.number != SYS_read);
  EXPECT_EQ(s.arguments[0], static_cast<std::uintptr_t>(fds[0]));
  EXPECT_EQ(s.arguments[1], reinterpret_cast<std::uintptr_t>(&c));
  EXPECT_EQ(s.arguments[2], 1U);
  EXPECT_NE(s.sp, 0U);
  EXPECT_NE(s.pc, 0U);
  EXPECT_EQ(thread_letter(t.tid()), 'S');
  EXPECT_FALSE(thread_is_runnable(t.tid()));
  const std::int64_t cpu = thread_cpu_ns(t.tid());
  EXPECT_GT(cpu, 0);
  EXPECT_EQ(thread_cpu_ns(t.tid()), cpu) << "it sleeps";
  EXPECT_EQ(::write(fds[1], "x", 1), 1);  // no observation has ended the read
  t.join();
  ::close(fds[0]);
  ::close(fds[1]);
}

TEST(ThreadState, OfOneThatIsGoneIsUnknown) {
  for (const std::int32_t tid : {0, -1, 4'194'304}) {  // the last: beyond the kernel's largest
    EXPECT_EQ(thread_cpu_ns(tid), -1);
    EXPECT_EQ(thread_run_delay_ns(tid), -1);
    EXPECT_EQ(thread_letter(tid), '\0');
    EXPECT_FALSE(thread_is_runnable(tid));
    EXPECT_EQ(thread_call(tid).what, kind::unknown);
  }
}

TEST(ThreadState, WhatALookCosts) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  char c = 0;
  a_thread t([&] { EXPECT_EQ(::read(fds[0], &c, 1), 1); });
  while (thread_call(t.tid()).what != kind::in_call) std::this_thread::yield();
  const auto each = [&](auto look) {
    const std::int64_t begin = now_ns();
    for (int i = 0; i < 1000; ++i) look();
    return static_cast<int>((now_ns() - begin) / 1000);
  };
  RecordProperty("cpu_ns", each([&] { EXPECT_GE(thread_cpu_ns(t.tid()), 0); }));
  RecordProperty("run_delay_ns", each([&] { EXPECT_GE(thread_run_delay_ns(t.tid()), -1); }));
  RecordProperty("letter_ns", each([&] { EXPECT_EQ(thread_letter(t.tid()), 'S'); }));
  RecordProperty("call_ns", each([&] { EXPECT_EQ(thread_call(t.tid()).number, SYS_read); }));
  EXPECT_EQ(::write(fds[1], "x", 1), 1);
  t.join();
  ::close(fds[0]);
  ::close(fds[1]);
}

}  // namespace
