// Traces of a thread that is blocked and of a fiber that is parked, taken from outside.
#include <baton/sched/unwind/stack_trace.h>

#include "on_fiber.h"

#include <baton/sched/counters.h>
#include <baton/sched/declared_call.h>
#include <baton/sched/fiber.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/platform/thread.h>

#include <gtest/gtest.h>

#include <alloca.h>
#include <netdb.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

// As vendors compile: with and without a frame pointer, and where the frame's size is known at run time
// only.
#define AS_IF_BETWEEN asm volatile("" ::: "memory")  // what was called last is not jumped to
#define STAYS_A_FUNCTION __attribute__((noinline))
#if defined(__clang__)
#define WITH_FRAME_POINTER STAYS_A_FUNCTION
#define WITHOUT_FRAME_POINTER STAYS_A_FUNCTION
#else
#define WITH_FRAME_POINTER __attribute__((noinline, noclone, optimize("no-omit-frame-pointer")))
#define WITHOUT_FRAME_POINTER __attribute__((noinline, noclone, optimize("omit-frame-pointer")))
#endif

namespace vendor {

using blocker = void (*)(int fd);

STAYS_A_FUNCTION void in_read(int fd) {
  char c = 0;
  while (::read(fd, &c, 1) != 1) {
  }
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void in_poll(int fd) {
  pollfd what{fd, POLLIN, 0};
  ::poll(&what, 1, -1);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void in_flock(int fd) {
  ::flock(fd, LOCK_EX);
  AS_IF_BETWEEN;
}

WITH_FRAME_POINTER void keeps_frame_pointer(blocker b, int fd) {
  b(fd);
  AS_IF_BETWEEN;
}

WITHOUT_FRAME_POINTER void keeps_none(blocker b, int fd) {
  b(fd);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void with_alloca(blocker b, int fd) {
  auto* const room = static_cast<volatile char*>(alloca(static_cast<std::size_t>(fd) + 100));
  room[0] = 1;
  b(fd);
  AS_IF_BETWEEN;
}

// Directly around the call of libc, where no frame further in has saved the frame pointer.
WITH_FRAME_POINTER void reads_with_frame_pointer(int fd) {
  char c = 0;
  while (::read(fd, &c, 1) != 1) {
  }
  AS_IF_BETWEEN;
}

WITH_FRAME_POINTER void bare_call_with_frame_pointer(int fd) {
  char c = 0;
  ::syscall(SYS_read, fd, &c, 1L);
  AS_IF_BETWEEN;
}

}  // namespace vendor

// Without external linkage: no dynamic symbol.
static STAYS_A_FUNCTION void static_function_that_reads(int fd) {
  vendor::in_read(fd);
  AS_IF_BETWEEN;
}

namespace {

using namespace baton::sched;
using baton_test::flag;
using baton_test::join;
using baton_test::spawn_fiber;
using kind = platform::thread_call_state::kind;

std::string text_of(const std::vector<void*>& frames) {
  std::string text(8192, '\0');
  text.resize(format(frames, text));
  return text;
}

std::vector<void*> frames_of(const frame_registers& from, const stack_bounds& bounds) {
  std::vector<void*> frames(32);
  frames.resize(unwind(from, bounds, frames));
  return frames;
}

// The call that poll() makes.
#if defined(SYS_poll)
constexpr long poll_call = SYS_poll;
#else
constexpr long poll_call = SYS_ppoll;
#endif

// A thread that reads from a pipe, by way of a given function.
class blocked_thread {
 public:
  explicit blocked_thread(std::function<void(int fd)> block) {
    if (::pipe(fds_) != 0) std::abort();
    thread_ = std::thread([this, block] {
      void* bottom = nullptr;
      std::size_t size = 0;
      platform::thread_stack(&bottom, &size);
      bounds_.low = reinterpret_cast<std::uintptr_t>(bottom);
      bounds_.high = bounds_.low + size;
      tid_ = platform::thread_id();
      block(fds_[0]);
    });
    while (tid_ == 0) std::this_thread::yield();
  }
  ~blocked_thread() {
    release();
    thread_.join();
    ::close(fds_[0]);
    ::close(fds_[1]);
  }
  void release() const { EXPECT_EQ(::write(fds_[1], "x", 1), 1); }
  [[nodiscard]] int fd() const { return fds_[0]; }
  [[nodiscard]] std::int32_t tid() const { return tid_; }
  [[nodiscard]] const stack_bounds& bounds() const { return bounds_; }

  // Returns the thread's trace once it is blocked in that call.
  [[nodiscard]] std::string trace(long number) const {
    for (;;) {
      const auto call = platform::thread_call(tid_);
      if (call.what == kind::unknown) return "unknown";
      if (call.what == kind::in_call && call.number == number) return text_of(frames_of(*context_of(call), bounds_));
      std::this_thread::yield();
    }
  }

 private:
  int fds_[2] = {};
  stack_bounds bounds_;
  std::atomic<std::int32_t> tid_{0};
  std::thread thread_;
};

void expect_in_order(const std::string& text, const std::vector<std::string>& names) {
  std::size_t at = 0;
  for (const auto& name : names) {
    const std::size_t found = text.find(name, at);
    ASSERT_NE(found, std::string::npos) << name << " is missing in\n" << text;
    at = found;
  }
}

TEST(StackTrace, NamesTheFunctionsAroundABlockedRead) {
  const blocked_thread t([](int fd) { static_function_that_reads(fd); });
  expect_in_order(t.trace(SYS_read), {"#0 ", "read", "vendor::in_read()", "static_function_that_reads()", "_test+0x"});
}

TEST(StackTrace, NamesTheFunctionsAroundPoll) {
  const blocked_thread t([](int fd) { vendor::keeps_none(vendor::in_poll, fd); });
  expect_in_order(t.trace(poll_call), {"poll", "vendor::in_poll()", "vendor::keeps_none()"});
}

TEST(StackTrace, NamesTheFunctionsAroundNanosleep) {
  std::atomic<bool> stop{false};
  static std::atomic<bool>* stopped = nullptr;
  stopped = &stop;
  const blocked_thread t([](int) {
    struct vendor_sleep {
      static STAYS_A_FUNCTION void naps() {
        const timespec nap{0, 50'000'000};
        while (!*stopped) ::nanosleep(&nap, nullptr);
        AS_IF_BETWEEN;
      }
    };
    vendor_sleep::naps();
  });
  expect_in_order(t.trace(SYS_clock_nanosleep), {"nanosleep", "naps()"});
  stop = true;
}

TEST(StackTrace, NamesTheFunctionsAroundFlock) {
  std::FILE* const held = std::tmpfile();
  ASSERT_NE(held, nullptr);
  ASSERT_EQ(::flock(::fileno(held), LOCK_EX), 0);
  const std::string path = "/proc/self/fd/" + std::to_string(::fileno(held));
  std::FILE* const wanted = std::fopen(path.c_str(), "r");
  ASSERT_NE(wanted, nullptr);
  {
    const blocked_thread t([&](int) { vendor::in_flock(::fileno(wanted)); });
    expect_in_order(t.trace(SYS_flock), {"flock", "vendor::in_flock()"});
    ::flock(::fileno(held), LOCK_UN);
  }
  std::fclose(wanted);
  std::fclose(held);
}

TEST(StackTrace, GoesThroughFramesOfEveryKind) {
  const blocked_thread t([](int fd) {
    vendor::keeps_none(
        [](int fd1) {
          vendor::keeps_frame_pointer(
              [](int fd2) {
                vendor::with_alloca([](int fd3) { vendor::keeps_frame_pointer(vendor::in_read, fd3); }, fd2);
                AS_IF_BETWEEN;
              },
              fd1);
          AS_IF_BETWEEN;
        },
        fd);
    AS_IF_BETWEEN;
  });
  expect_in_order(t.trace(SYS_read), {"vendor::in_read()", "vendor::keeps_frame_pointer()", "vendor::with_alloca()",
                                      "vendor::keeps_frame_pointer()", "vendor::keeps_none()"});
}

TEST(StackTrace, FindsAFrameWhoseFramePointerNobodyShows) {
  for (const auto block : {vendor::reads_with_frame_pointer, vendor::bare_call_with_frame_pointer}) {
    const blocked_thread t([&](int fd) { vendor::keeps_none(block, fd); });
    expect_in_order(t.trace(SYS_read), {"_with_frame_pointer()", "vendor::keeps_none()"});
  }
}

// libc calls a comparison function from within qsort.
TEST(StackTrace, GoesThroughLibcInTheMiddle) {
  static int read_from = 0;
  const blocked_thread t([](int fd) {
    read_from = fd;
    int two[2] = {2, 1};
    std::qsort(two, 2, sizeof(int), [](const void* a, const void* b) {
      if (read_from >= 0) vendor::in_read(read_from);
      read_from = -1;  // sanitizers compare more often
      return *static_cast<const int*>(a) - *static_cast<const int*>(b);
    });
    AS_IF_BETWEEN;
  });
  expect_in_order(t.trace(SYS_read), {"vendor::in_read()", "qsort"});
}

#if !BATON_ASAN && !BATON_TSAN  // the sanitizers run handlers later, elsewhere
TEST(StackTrace, GoesThroughASignalsFrame) {
  static int read_from = 0;
  std::signal(SIGUSR1, [](int) { vendor::in_read(read_from); });
  const blocked_thread t([](int fd) {
    read_from = fd;
    ::raise(SIGUSR1);
    AS_IF_BETWEEN;
  });
  expect_in_order(t.trace(SYS_read), {"vendor::in_read()", "raise"});
}
#endif

STAYS_A_FUNCTION void waits_for_the_flag(flag& f) {
  f.wait();
  AS_IF_BETWEEN;
}

TEST(StackTrace, OfAParkedFiberNamesWhoWaitsAndEndsThere) {
  flag f;
  fiber* const waiting = spawn_fiber([&] { waits_for_the_flag(f); });
  while (waiting->word.peek() != park_word::parked) std::this_thread::yield();
  const auto from = context_of(&waiting->context);
  ASSERT_TRUE(from.has_value());
  const std::string text = text_of(frames_of(*from, bounds_of(waiting->stack)));
  f.set();
  join(waiting);
  expect_in_order(text, {"baton::sched::park()", "waits_for_the_flag()"});
  EXPECT_EQ(text.find("trampoline"), std::string::npos) << text;
  EXPECT_EQ(text.find("fcontext"), std::string::npos) << text;
}

TEST(StackTrace, OfAFiberThatHasNotBegun) {
  const auto prepared = prepare_fiber({{}, 0}, 8, 8);
  const auto from = context_of(&prepared.f->context);
  ASSERT_TRUE(from.has_value());
  EXPECT_EQ(text_of(frames_of(*from, bounds_of(prepared.f->stack))).find("#1"), std::string::npos);
  discard_fiber(prepared.f);
}

std::string dump() {
  std::FILE* const file = std::tmpfile();
  dump_fibers(::fileno(file));
  std::string text(1 << 20, '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

TEST(DumpFibers, PrintsTheStackBelowEachParkedFiber) {
  flag f;
  fiber* const waiting = spawn_fiber([&] { waits_for_the_flag(f); }, true, "the patient one");
  while (waiting->word.peek() != park_word::parked) std::this_thread::yield();
  std::string from_a_fiber;
  // On the smallest stack that exists.
  const auto prepared = prepare_fiber({"dumper", 16 * 1024}, sizeof(void*), alignof(void*));
  static std::FILE* file = nullptr;
  file = std::tmpfile();
  static constexpr fiber_start start{.entry = [](fiber*, void*) noexcept { dump_fibers(::fileno(file)); }};
  launch(prepared.f, start, true);
  join(prepared.f);
  from_a_fiber.resize(1 << 20);
  std::rewind(file);
  from_a_fiber.resize(std::fread(from_a_fiber.data(), 1, from_a_fiber.size(), file));
  std::fclose(file);
  const std::string from_a_thread = dump();
  f.set();
  join(waiting);
  for (const std::string& text : {from_a_fiber, from_a_thread}) {
    expect_in_order(text, {"\"the patient one\" waits for something", "\n    #0 ", "waits_for_the_flag()"});
  }
}

TEST(DumpFibers, PrintsTheStackOfADeclaredCallThatBlocks) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  fiber* const reader = spawn_fiber(
      [&] {
        begin_blocking_call();
        vendor::in_read(fds[0]);
        end_call(stay::anywhere);
      },
      true, "reader");
  std::string text;
  do text = dump();
  while (text.find("vendor::in_read()") == std::string::npos);
  EXPECT_EQ(::write(fds[1], "x", 1), 1);
  join(reader);
  ::close(fds[0]);
  ::close(fds[1]);
  expect_in_order(text, {"\"reader\" runnable in a declared call", "vendor::in_read()"});
}

TEST(DumpFibers, BesideFibersThatRunAndEnd) {
  std::atomic<bool> stop{false};
  std::vector<fiber*> fibers;
  for (int i = 0; i < 8; ++i) {
    fibers.push_back(spawn_fiber([&] {
      while (!stop) {
        join(spawn_fiber([] { yield(); }));
        yield();
      }
    }));
  }
  for (int i = 0; i < 30; ++i) EXPECT_FALSE(dump().empty());
  stop = true;
  for (fiber* f : fibers) join(f);
}

TEST(StackTrace, OfAThreadThatRunsDoesNotCrash) {
  std::atomic<bool> stop{false};
  const blocked_thread t([&](int) {
    while (!stop) {
      const timespec nap{0, 1000};
      ::nanosleep(&nap, nullptr);
      vendor::keeps_frame_pointer([](int) { std::this_thread::yield(); }, 0);
    }
  });
  int looks = 0;
  while (looks < 2000) {
    const auto call = platform::thread_call(t.tid());
    ASSERT_NE(call.what, kind::unknown);
    ++looks;
    if (const auto from = context_of(call)) frames_of(*from, t.bounds());
  }
  stop = true;
}

TEST(StackTrace, OfNonsenseDoesNotCrash) {
  std::mt19937_64 random(4711);
  std::vector<std::uintptr_t> stack(4096);
  const auto low = reinterpret_cast<std::uintptr_t>(stack.data());
  const stack_bounds bounds{low, low + stack.size() * sizeof stack[0]};
  const auto code = reinterpret_cast<std::uintptr_t>(&::poll);
  const auto own_code = reinterpret_cast<std::uintptr_t>(&dump);
  const auto any = [&]() -> std::uintptr_t {
    switch (random() % 6) {
      case 0: return random();
      case 1: return low + random() % (stack.size() * 8);
      case 2: return code + random() % 0x10000;
      case 3: return own_code + random() % 0x4000;
      case 4: return random() % 4096;
      default: return low + random() % stack.size() / 8 * 8;
    }
  };
  std::vector<char> text(4096);
  for (int i = 0; i < 3000; ++i) {
    for (std::size_t w = 0; w < 64; ++w) stack[random() % stack.size()] = any();
    const frame_registers from{any(), i % 3 == 0 ? low + random() % 2048 / 8 * 8 : any(), any(), i % 2 == 0};
    const auto frames = frames_of(from, i % 7 == 0 ? stack_bounds{any(), any()} : bounds);
    EXPECT_LE(frames.size(), 32U);
    EXPECT_GE(frames.size(), 1U);
    if (i % 100 == 0) {
      EXPECT_LT(format(frames, text), text.size());
    }
  }
}

TEST(StackTrace, ASmallBufferGetsWholeLines) {
  const blocked_thread t([](int fd) { static_function_that_reads(fd); });
  const std::string whole = t.trace(SYS_read);
  const auto call = platform::thread_call(t.tid());
  const auto frames = frames_of(*context_of(call), t.bounds());
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    std::vector<char> small(size);
    const std::size_t n = format(frames, small);
    EXPECT_TRUE(n == 0 || small[n - 1] == '\n');
    EXPECT_TRUE(n < size || size == 0);
    EXPECT_EQ(whole.compare(0, n, small.data(), n), 0);
  }
}

}  // namespace
