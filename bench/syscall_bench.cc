// What declaring a system call costs (rows as pairs.h says).
//
//   enter_exit          enter_syscall + exit_syscall with nothing between; beside it the bare pair of
//                       compare-and-swaps that a runtime pays which takes its P back with locked
//                       instructions
//   enter_exit_getpid   the same around getpid; beside it the bare getpid: extra_ns is the price
//   blocking_short      blocking(f) with an f that does nothing, at a site that has learnt to be short;
//                       beside it the compare-and-swap pair
//   blocking_getpid     blocking(f) around getpid; beside it the bare getpid
//   locked_trip         a fiber that is locked to its thread and one that is not take turns through two
//                       events, per round trip: two hand-overs of the P between threads; beside it two
//                       threads that take turns through std::atomic's wait and notify
//   typed_getpid        sys::syscall<SYS_getpid>(); beside it the bare getpid
#include "pairs.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/enter_exit.h>
#include <baton/syscall/pinning.h>
#include <baton/syscall/raw_syscall.h>
#include <baton/syscall/syscall.h>

#include <sys/syscall.h>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <thread>

namespace {

constexpr std::int64_t plain_ops = 50'000;
constexpr std::int64_t kernel_ops = 2'000;  // short blocks: the kernel's own time drifts

// Runs f `ops` times; returns the seconds.
template <class F>
double timed(std::int64_t ops, F f) {
  const auto begin = bench::clock_type::now();
  for (std::int64_t i = 0; i < ops; ++i) f();
  return bench::seconds_since(begin);
}

// Two locked instructions on a cache line that no other thread touches: taken and given back.
double compare_and_swap_pairs() {
  std::atomic<std::uint32_t> word{0};
  return timed(plain_ops, [&word] {
    std::uint32_t expected = 0;
    if (!word.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed)) std::abort();
    expected = 1;
    if (!word.compare_exchange_strong(expected, 0, std::memory_order_release, std::memory_order_relaxed)) std::abort();
    benchmark::DoNotOptimize(word);
  });
}

void trap_getpid() { benchmark::DoNotOptimize(baton::sys::raw_syscall(SYS_getpid).value()); }

double bare_getpid() { return timed(kernel_ops, trap_getpid); }

void enter_exit(benchmark::State& state) {
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), plain_ops,
      [] {
        return timed(plain_ops, [] {
          baton::enter_syscall();
          baton::exit_syscall();
        });
      },
      compare_and_swap_pairs);
}

void enter_exit_getpid(benchmark::State& state) {
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), kernel_ops,
      [] {
        return timed(kernel_ops, [] {
          baton::enter_syscall();
          trap_getpid();
          baton::exit_syscall();
        });
      },
      bare_getpid);
}

void blocking_short(benchmark::State& state) {
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), plain_ops,
      [] { return timed(plain_ops, [] { baton::blocking([] { benchmark::ClobberMemory(); }); }); },
      compare_and_swap_pairs);
}

void blocking_getpid(benchmark::State& state) {
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), kernel_ops,
      [] { return timed(kernel_ops, [] { baton::blocking([] { trap_getpid(); }); }); }, bare_getpid);
}

void typed_getpid(benchmark::State& state) {
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), kernel_ops,
      [] { return timed(kernel_ops, [] { benchmark::DoNotOptimize(baton::sys::syscall<SYS_getpid>().value()); }); },
      bare_getpid);
}

constexpr std::int64_t trips = 2'000;

double locked_trips() {
  baton::event there;
  baton::event back;
  auto other = baton::spawn([&] {
    baton::lock_os_thread();
    for (std::int64_t i = 0; i < trips; ++i) {
      there.wait();
      there.reset();
      back.set();
    }
    baton::unlock_os_thread();
  });
  const double took = timed(trips, [&] {
    there.set();
    back.wait();
    back.reset();
  });
  other.join();
  return took;
}

double thread_trips() {
  std::atomic<int> turn{0};
  std::thread other([&] {
    for (std::int64_t i = 0; i < trips; ++i) {
      turn.wait(0);
      turn.store(0);
      turn.notify_one();
    }
  });
  const double took = timed(trips, [&] {
    turn.store(1);
    turn.notify_one();
    turn.wait(1);
  });
  baton::blocking([&] { other.join(); });
  return took;
}

void locked_trip(benchmark::State& state) {
  bench::run_pairs(state, static_cast<int>(state.range(0)), trips, locked_trips, thread_trips);
}

// The argument is the number of Ps.
const bench::row rows[] = {
    {.benchmark = "locked_trip",
     .run = locked_trip,
     .args = {1},
     .name = "locked fiber, round trip",
     .primitive = {"two threads, atomic wait"},
     .target = bench::at_most_ns(5'000).shown_as("under 5 us")},
    {.benchmark = "enter_exit",
     .run = enter_exit,
     .args = {1},
     .name = "enter + exit, nothing between",
     .primitive = {"compare-and-swap pair"},
     .target = bench::at_most_ns(4)},
    {.benchmark = "enter_exit_getpid",
     .run = enter_exit_getpid,
     .args = {1},
     .name = "enter + exit around getpid",
     .primitive = {"bare getpid"},
     .target = bench::at_most_extra_ns(6)},
    {.benchmark = "blocking_short",
     .run = blocking_short,
     .args = {1},
     .name = "blocking(f), f does nothing",
     .primitive = {"compare-and-swap pair"}},
    {.benchmark = "blocking_getpid",
     .run = blocking_getpid,
     .args = {1},
     .name = "blocking(getpid)",
     .primitive = {"bare getpid"}},
    {.benchmark = "typed_getpid",
     .run = typed_getpid,
     .args = {1},
     .name = "sys::syscall<SYS_getpid>()",
     .primitive = {"bare getpid"}},
};
const bench::pairs measured("syscall", rows);

}  // namespace
