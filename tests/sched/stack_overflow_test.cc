// The report of a stack overflow, and what happens to faults that are not overflows. In nearly all of these tests the
// process ends.
#include "on_fiber.h"

#include <baton/sched/lifecycle.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/sanitizer.h>
#include <baton/sched/stack/stack_overflow.h>
#include <baton/sched/stack/stack_pool.h>
#include <baton/sched/timer.h>

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace baton::sched {
namespace {

// A stack of 64 KiB that is not given back.
stack a_stack() {
  stack s;
  if (stack_pool::instance().acquire(stack_class_for(64 * 1024), &s, 1) != 1) std::abort();
  return s;
}

void name_seventeen(const stack& s, char* buffer, std::size_t size) noexcept {
  std::snprintf(buffer, size, "fiber 17 \"deep\" of class %u", s.klass);
}

struct OverflowDeathTest : testing::Test {
  static void prepare() {
    install_overflow_handler();
    set_overflow_namer(name_seventeen);
  }
};

constexpr const char* report_of_64k =
    "baton: stack overflow in fiber 17 \"deep\" of class 1: its stack of 64 KiB is used up "
    "\\(raise it with attributes.stack_size or options.stack_size\\); fault at 0x[0-9a-f]+\n";

TEST_F(OverflowDeathTest, TouchingTheGuardIsReported) {
  EXPECT_DEATH(
      {
        prepare();
        const alternate_stack handlers;
        const stack s = a_stack();
        *static_cast<volatile std::byte*>(s.limit() - 1) = std::byte{1};
      },
      report_of_64k);
}

TEST_F(OverflowDeathTest, TheLowestByteOfTheGuardIsReported) {
  EXPECT_EXIT(
      {
        prepare();
        const alternate_stack handlers;
        const stack s = a_stack();
        *static_cast<volatile std::byte*>(s.limit() - stack_guard_size()) = std::byte{1};
      },
      testing::KilledBySignal(SIGABRT), report_of_64k);
}

#if !BATON_ASAN && !BATON_TSAN  // the sanitizers would have to be told of the switch

[[gnu::noinline]] int dig(int depth) {
  volatile char frame[256];
  frame[0] = static_cast<char>(depth);
  return depth == 0 ? frame[0] : dig(depth - 1) + frame[0];
}

ucontext_t main_context;

void dig_without_end() { std::fprintf(stderr, "%d", dig(1 << 30)); }

void run_on(const stack& s, void (*f)()) {
  ucontext_t context;
  ::getcontext(&context);
  context.uc_stack.ss_sp = s.limit();
  context.uc_stack.ss_size = s.size;
  context.uc_link = &main_context;
  ::makecontext(&context, f, 0);
  ::swapcontext(&main_context, &context);
}

TEST_F(OverflowDeathTest, RecursionIsReportedWithItsTrace) {
  EXPECT_DEATH(
      {
        prepare();
        const alternate_stack handlers;
        const stack s = a_stack();
        run_on(s, dig_without_end);
      },
      std::string(report_of_64k) + "(.*0x[0-9a-f]+.*\n){60}");
}

void ignore_signal(int) {}

// Little of the stack is left: the kernel cannot place the frame of a handler that runs there.
[[gnu::noinline]] void dig_and_raise(const std::byte* limit) {
  volatile char frame[64];
  frame[0] = 1;
  if (reinterpret_cast<const std::byte*>(const_cast<const char*>(frame)) - limit > 600) {
    dig_and_raise(limit);
  } else {
    ::kill(::getpid(), SIGUSR1);
  }
  frame[1] = 2;
}

const std::byte* limit_to_dig_to = nullptr;

TEST_F(OverflowDeathTest, ASignalThatFindsNoRoomIsReported) {
  EXPECT_DEATH(
      {
        prepare();
        const alternate_stack handlers;
        const stack s = a_stack();
        limit_to_dig_to = s.limit();
        std::signal(SIGUSR1, ignore_signal);  // without SA_ONSTACK
        run_on(s, [] { dig_and_raise(limit_to_dig_to); });
      },
      report_of_64k);
}

#endif

TEST_F(OverflowDeathTest, FaultsElsewhereGoToThePreviousHandler) {
  EXPECT_EXIT(
      {
        struct sigaction theirs = {};
        theirs.sa_sigaction = [](int, siginfo_t* info, void*) { ::_exit(info->si_addr == nullptr ? 42 : 43); };
        theirs.sa_flags = SA_SIGINFO;
        ::sigaction(SIGSEGV, &theirs, nullptr);
        prepare();
        const alternate_stack handlers;
        std::byte* volatile null = nullptr;
        *static_cast<volatile std::byte*>(null) = std::byte{1};
      },
      testing::ExitedWithCode(42), "");
}

TEST_F(OverflowDeathTest, APreviousHandlerForOneCallIsCalledOnce) {
  EXPECT_EXIT(
      {
        struct sigaction theirs = {};
        theirs.sa_handler = [](int) { std::fputs("called\n", stderr); };
        theirs.sa_flags = static_cast<int>(SA_RESETHAND);
        ::sigaction(SIGSEGV, &theirs, nullptr);
        prepare();
        const alternate_stack handlers;
        ::raise(SIGSEGV);
        ::raise(SIGSEGV);
      },
      testing::KilledBySignal(SIGSEGV), "^called\n$");
}

TEST_F(OverflowDeathTest, FaultsElsewhereAreWhatTheyWereWithoutAPreviousHandler) {
  for (const bool sent : {false, true}) {
    EXPECT_EXIT(
        {
          std::signal(SIGSEGV, SIG_DFL);
          prepare();
          const alternate_stack handlers;
          if (sent) ::raise(SIGSEGV);
          std::byte* volatile null = nullptr;
          if (!sent) *static_cast<volatile std::byte*>(null) = std::byte{1};
        },
        testing::KilledBySignal(SIGSEGV), "");
  }
}

// The same in real fibers, which the scheduler names. These tests start the runtime, so each needs a fresh process.
struct FiberOverflowDeathTest : testing::Test {
  FiberOverflowDeathTest() { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
  ~FiberOverflowDeathTest() override { testing::FLAGS_gtest_death_test_style = "fast"; }
};

TEST_F(FiberOverflowDeathTest, TheReportNamesTheFiber) {
  EXPECT_DEATH(baton_test::join(baton_test::spawn_fiber(
                   [] {
                     stack mine;
                     char here = 0;
                     if (!stack_pool::instance().find_stack(&here, &mine)) return;
                     *reinterpret_cast<volatile char*>(mine.limit() - 8) = 1;
                   },
                   true, "greedy")),
               "stack overflow in fiber [0-9]+ \"greedy\": its stack of 256 KiB is used up.*; it runs ");
}

int recurse(int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  return depth > 0 ? recurse(depth - 1) + frame[0] : frame[0];
}

TEST_F(FiberOverflowDeathTest, RecursionWithoutEndIsReported) {
  EXPECT_DEATH(baton_test::on_fiber([] { std::printf("%d", recurse(100'000'000)); }), "stack overflow in fiber");
}

TEST_F(FiberOverflowDeathTest, RecursionIntoMprotectGuardsIsReported) {
  EXPECT_DEATH(
      {
        stack_pool::instance().set_guard_kind_for_test(stack_pool::guard_kind::mprotect_pages, 20'000);
        baton_test::on_fiber([] { std::printf("%d", recurse(100'000'000)); });
      },
      "stack overflow in fiber");
}

TEST_F(FiberOverflowDeathTest, AnyOtherBadAddressIsNoOverflow) {
  volatile std::uintptr_t nowhere = 64;
  EXPECT_EXIT(
      baton_test::on_fiber([&] { *reinterpret_cast<volatile int*>(nowhere) = 1; }),
      [](int status) { return !WIFEXITED(status) || WEXITSTATUS(status) != 0; }, "");
}

// In a fiber "astray" whose stack lies above that of a fiber "neighbour": calls f with an address in neighbour's guard.
template <class F>
void beside_a_neighbour(F f) {
  auto neighbour = baton_test::spawn_fiber(
      [f] {
        char here = 0;
        stack mine;
        if (!stack_pool::instance().find_stack(&here, &mine)) return;
        auto* const guard = reinterpret_cast<volatile char*>(mine.limit() - stack_guard_size() / 2);
        const std::byte* const above = mine.top + stack_guard_size() + mine.size;
        // Stacks are cut one beside the other, so one of the next fibers lies above.
        std::vector<fiber*> all;
        for (int i = 0; i < 200; ++i) {
          all.push_back(baton_test::spawn_fiber(
              [f, guard, above] {
                char here_too = 0;
                stack own;
                if (stack_pool::instance().find_stack(&here_too, &own) && own.top == above) f(guard);
                sleep_until_ns(platform::now_ns() + 1'000'000);
              },
              true, "astray"));
        }
        for (fiber* const one : all) baton_test::join(one);
      },
      true, "neighbour");
  baton_test::join(neighbour);
}

#if !BATON_ASAN && !BATON_TSAN  // the sanitizers touch what such a frame holds

[[gnu::noinline]] void have_a_frame_down_to(volatile char* low) {
  char here = 0;
  auto* const frame = static_cast<volatile char*>(__builtin_alloca(static_cast<std::size_t>(&here - low)));
  *frame = 1;
}

TEST_F(FiberOverflowDeathTest, AFrameThatStepsOverItsGuardIsNamedAndWhoseGuardItHit) {
  EXPECT_DEATH(
      beside_a_neighbour(have_a_frame_down_to),
      "stack overflow in fiber [0-9]+ \"astray\": a frame stepped over the guard beneath its stack of 256 KiB, "
      "and hit the guard beneath the stack of fiber [0-9]+ \"neighbour\"");
}
#endif

TEST_F(FiberOverflowDeathTest, AnAddressInTheGuardOfAnotherIsNoOverflow) {
  EXPECT_DEATH(beside_a_neighbour([](volatile char* at) { *at = 1; }),
               "fiber [0-9]+ \"astray\" touched the guard beneath the stack of fiber [0-9]+ \"neighbour\"");
}

// ---- previous handlers ----

void (*handler_now())(int, siginfo_t*, void*) {
  struct sigaction now = {};
  ::sigaction(SIGSEGV, nullptr, &now);
  return now.sa_sigaction;
}

void former(int, siginfo_t*, void*) {}
void later(int, siginfo_t*, void*) {}

void handle_by(void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction a = {};
  a.sa_sigaction = handler;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGSEGV, &a, nullptr);
}

TEST_F(FiberOverflowDeathTest, FormerHandlersAreBackAfterAShutdown) {
  EXPECT_EXIT(
      {
        handle_by(former);
        char why[64];
        bool right = true;
        for (int round = 0; round < 3; ++round) {
          start(settings{});
          right = right && handler_now() != former;
          right = right && shut_down(why) && handler_now() == former;
        }
        ::_exit(right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(FiberOverflowDeathTest, AHandlerThatCameLaterStays) {
  EXPECT_EXIT(
      {
        char why[64];
        start(settings{});
        handle_by(later);
        bool right = shut_down(why) && handler_now() == later;
        start(settings{});
        right = right && handler_now() == later;
        ::_exit(right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(AlternateStack, IsThereInItsScopeOnly) {
  stack_t before = {};
  stack_t within = {};
  stack_t after = {};
  ::sigaltstack(nullptr, &before);
  {
    const alternate_stack handlers;
    ::sigaltstack(nullptr, &within);
  }
  ::sigaltstack(nullptr, &after);
  EXPECT_NE(within.ss_sp, before.ss_sp);
  EXPECT_GE(within.ss_size, 64U * 1024);
  EXPECT_EQ(within.ss_flags & SS_DISABLE, 0);
  EXPECT_EQ(after.ss_sp, before.ss_sp);
  EXPECT_EQ(after.ss_flags, before.ss_flags);
}

}  // namespace
}  // namespace baton::sched
