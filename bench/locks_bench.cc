// Locks that readers share, and the small meeting points, beside the bare atomic operations that they are made of
// (batches.h says how rows are measured). The plain mutex is in sync_bench.cc.
#include "batches.h"

#include <baton/runtime/barrier.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/latch.h>
#include <baton/runtime/once.h>
#include <baton/runtime/run.h>
#include <baton/runtime/shared_mutex.h>

#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace {

// What a count of readers cannot do without.
void atomic_add_pair(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  bench::run_batches(state, pairs, [] {
    std::atomic<std::uint32_t> word{0};
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < pairs; ++i) {
      word.fetch_add(8, std::memory_order_acquire);
      word.fetch_sub(8, std::memory_order_release);
      benchmark::DoNotOptimize(word);
    }
    return bench::seconds_since(begin);
  });
}

template <class Mutex>
void read_lock_uncontended(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  bench::run_batches(state, pairs, [] {
    Mutex m;
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < pairs; ++i) {
      m.lock_shared();
      m.unlock_shared();
      benchmark::DoNotOptimize(m);
    }
    return bench::seconds_since(begin);
  });
}

template <class Mutex>
void write_lock_uncontended(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  bench::run_batches(state, pairs, [] {
    Mutex m;
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < pairs; ++i) {
      m.lock();
      m.unlock();
      benchmark::DoNotOptimize(m);
    }
    return bench::seconds_since(begin);
  });
}

// 100 fibers that read, and every so often write: one in `writes_per` operations.
void mixed_of_100(benchmark::State& state) {
  constexpr int fibers = 100;
  constexpr int each = 5'000;
  const int writes_per = static_cast<int>(state.range(1));
  bench::run_batches(state, std::int64_t{fibers} * each, [writes_per] {
    baton::shared_mutex m;
    std::int64_t value = 0;
    std::vector<baton::fiber<std::int64_t>> all;
    all.reserve(fibers);
    const auto begin = bench::clock_type::now();
    for (int f = 0; f < fibers; ++f) {
      all.push_back(baton::spawn([&, f] {
        std::int64_t seen = 0;
        for (int i = 0; i < each; ++i) {
          if ((i + f) % writes_per == 0) {
            const std::lock_guard writing(m);
            ++value;
          } else {
            const std::shared_lock reading(m);
            seen += value;
          }
        }
        return seen;
      }));
    }
    for (auto& f : all) benchmark::DoNotOptimize(f.join());
    return bench::seconds_since(begin);
  });
}

void latch_of_100(benchmark::State& state) {
  constexpr int latches = 200;
  bench::run_batches(state, latches, [] {
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < latches; ++i) {
      baton::latch l(100);
      for (int f = 0; f < 100; ++f) baton::go([&] { l.count_down(); });
      l.wait();
    }
    return bench::seconds_since(begin);
  });
}

// One phase of ten fibers.
void barrier_of_10(benchmark::State& state) {
  constexpr int phases = 10'000;
  bench::run_batches(state, phases, [] {
    baton::barrier<> meet(10);
    std::vector<baton::fiber<void>> all;
    const auto begin = bench::clock_type::now();
    for (int f = 0; f < 10; ++f) {
      all.push_back(baton::spawn([&] {
        for (int i = 0; i < phases; ++i) meet.arrive_and_wait();
      }));
    }
    for (auto& f : all) f.join();
    return bench::seconds_since(begin);
  });
}

void call_once_again(benchmark::State& state) {
  constexpr int calls = 1'000'000;
  bench::run_batches(state, calls, [] {
    baton::once_flag flag;
    int count = 0;
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < calls; ++i) {
      baton::call_once(flag, [&] { ++count; });
      benchmark::DoNotOptimize(flag);
    }
    return bench::seconds_since(begin);
  });
}

const bench::row rows[] = {
    {.benchmark = "atomic_add_pair", .run = atomic_add_pair, .args = {1}, .name = "atomic add and subtract"},
    {.benchmark = "read_lock_uncontended<baton::shared_mutex>",
     .run = read_lock_uncontended<baton::shared_mutex>,
     .args = {1},
     .name = "shared_mutex, read lock",
     .primitive = {"atomic add and subtract", "atomic_add_pair/1"},
     .peer = {"std::shared_mutex", "read_lock_uncontended<std::shared_mutex>/1"},
     .target = bench::at_most_ns(25)},
    {.benchmark = "read_lock_uncontended<std::shared_mutex>",
     .run = read_lock_uncontended<std::shared_mutex>,
     .args = {1},
     .name = "std::shared_mutex"},
    {.benchmark = "write_lock_uncontended<baton::shared_mutex>",
     .run = write_lock_uncontended<baton::shared_mutex>,
     .args = {1},
     .name = "shared_mutex, write lock",
     .primitive = {"atomic add and subtract", "atomic_add_pair/1"},
     .peer = {"std::shared_mutex", "write_lock_uncontended<std::shared_mutex>/1"}},
    {.benchmark = "write_lock_uncontended<std::shared_mutex>",
     .run = write_lock_uncontended<std::shared_mutex>,
     .args = {1},
     .name = "std::shared_mutex"},
    {.benchmark = "mixed_of_100",
     .run = mixed_of_100,
     .args = {1, 10},
     .name = "shared_mutex, 100 fibers, 1 in 10 writes"},
    {.benchmark = "mixed_of_100",
     .run = mixed_of_100,
     .args = {2, 10},
     .name = "shared_mutex, 100 fibers, 1 in 10 writes, 2 Ps"},
    {.benchmark = "mixed_of_100",
     .run = mixed_of_100,
     .args = {1, 1'000},
     .name = "shared_mutex, 100 fibers, 1 in 1,000 writes"},
    {.benchmark = "mixed_of_100",
     .run = mixed_of_100,
     .args = {2, 1'000},
     .name = "shared_mutex, 100 fibers, 1 in 1,000 writes, 2 Ps"},
    {.benchmark = "latch_of_100", .run = latch_of_100, .args = {1}, .name = "go 100, latch: all"},
    {.benchmark = "latch_of_100", .run = latch_of_100, .args = {2}, .name = "go 100, latch, 2 Ps: all"},
    {.benchmark = "barrier_of_10", .run = barrier_of_10, .args = {1}, .name = "barrier, a phase of 10 fibers"},
    {.benchmark = "barrier_of_10", .run = barrier_of_10, .args = {2}, .name = "barrier, a phase of 10 fibers, 2 Ps"},
    {.benchmark = "call_once_again", .run = call_once_again, .args = {1}, .name = "call_once, when it has been called"},
};
const bench::batches measured("sync", rows);

}  // namespace
