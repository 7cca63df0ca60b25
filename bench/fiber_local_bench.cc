// A fiber_local beside a thread_local that is reached through a function of its own, which is what code
// that may change threads has to do (pairs.h says how pairs are measured).
#include "pairs.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/fiber_local.h>

#include <benchmark/benchmark.h>

#include <cstdint>

namespace {

constexpr std::int64_t accesses = 1'000'000;

baton::fiber_local<std::int64_t> fiber_value;
thread_local std::int64_t thread_value = 0;

[[gnu::noinline]] std::int64_t& here() {
  std::int64_t& v = thread_value;
  asm volatile("" ::: "memory");
  return v;
}

template <class Access>
double timed(Access access) {
  access();  // builds the value
  const auto begin = bench::clock_type::now();
  for (std::int64_t i = 0; i < accesses; ++i) {
    access();
    benchmark::ClobberMemory();
  }
  return bench::seconds_since(begin);
}

void fiber_local_access(benchmark::State& state) {
  bench::run_pairs(
      state, 1, accesses, [] { return timed([] { ++*fiber_value; }); }, [] { return timed([] { ++here(); }); });
}

// The same where no fiber runs.
void fiber_local_on_a_thread(benchmark::State& state) {
  for (auto _ : state) {
    ++*fiber_value;
    benchmark::ClobberMemory();
  }
}

// What the first use in a fiber and the end of the value add to spawn and join.
void fiber_local_first_use(benchmark::State& state) {
  constexpr int fibers = 10'000;
  const auto spawn_and_join = [](auto f) {
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < fibers; ++i) baton::spawn(f).join();
    return bench::seconds_since(begin);
  };
  bench::run_pairs(
      state, 1, fibers, [&] { return spawn_and_join([] { ++*fiber_value; }); },
      [&] { return spawn_and_join([] { benchmark::ClobberMemory(); }); });
}

const bench::row rows[] = {
    {.benchmark = "fiber_local_access",
     .run = fiber_local_access,
     .name = "fiber_local, an access",
     .primitive = {"thread_local in a function"}},
    {.benchmark = "fiber_local_on_a_thread",
     .run = fiber_local_on_a_thread,
     .name = "fiber_local on a plain thread, an access",
     .manual_time = false},
    {.benchmark = "fiber_local_first_use",
     .run = fiber_local_first_use,
     .name = "spawn + join, first use of a fiber_local",
     .primitive = {"spawn + join"}},
};
const bench::pairs measured("sched", rows);

}  // namespace
