// Locks that readers share, and the small meeting points, beside the bare atomic operations that they are
// made of. See sync_bench.cc for the manner, and for the plain mutex.
#include <baton/runtime/barrier.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/latch.h>
#include <baton/runtime/once.h>
#include <baton/runtime/run.h>
#include <baton/runtime/shared_mutex.h>

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

double seconds_since(clock_type::time_point begin) {
  return std::chrono::duration<double>(clock_type::now() - begin).count();
}

// Runs batch() -> seconds as a fiber, once per iteration.
template <class Batch>
void run_batches(benchmark::State& state, std::int64_t ops, Batch batch) {
  baton::run([] {});
  baton::set_procs(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    double seconds = 0;
    baton::run([&] { seconds = batch(); });
    state.SetIterationTime(seconds);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * ops);
  using counter = benchmark::Counter;
  state.counters["per_op"] = counter(static_cast<double>(ops), counter::kIsIterationInvariantRate | counter::kInvert);
}

// What a count of readers cannot do without.
void atomic_add_pair(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  run_batches(state, pairs, [] {
    std::atomic<std::uint32_t> word{0};
    const auto begin = clock_type::now();
    for (int i = 0; i < pairs; ++i) {
      word.fetch_add(8, std::memory_order_acquire);
      word.fetch_sub(8, std::memory_order_release);
      benchmark::DoNotOptimize(word);
    }
    return seconds_since(begin);
  });
}

template <class Mutex>
void read_lock_uncontended(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  run_batches(state, pairs, [] {
    Mutex m;
    const auto begin = clock_type::now();
    for (int i = 0; i < pairs; ++i) {
      m.lock_shared();
      m.unlock_shared();
      benchmark::DoNotOptimize(m);
    }
    return seconds_since(begin);
  });
}

template <class Mutex>
void write_lock_uncontended(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  run_batches(state, pairs, [] {
    Mutex m;
    const auto begin = clock_type::now();
    for (int i = 0; i < pairs; ++i) {
      m.lock();
      m.unlock();
      benchmark::DoNotOptimize(m);
    }
    return seconds_since(begin);
  });
}

// 100 fibers that read, and every so often write: one in `writes_per` operations.
void mixed_of_100(benchmark::State& state) {
  constexpr int fibers = 100;
  constexpr int each = 5'000;
  const int writes_per = static_cast<int>(state.range(1));
  run_batches(state, std::int64_t{fibers} * each, [writes_per] {
    baton::shared_mutex m;
    std::int64_t value = 0;
    std::vector<baton::fiber<std::int64_t>> all;
    all.reserve(fibers);
    const auto begin = clock_type::now();
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
    return seconds_since(begin);
  });
}

void latch_of_100(benchmark::State& state) {
  constexpr int latches = 200;
  run_batches(state, latches, [] {
    const auto begin = clock_type::now();
    for (int i = 0; i < latches; ++i) {
      baton::latch l(100);
      for (int f = 0; f < 100; ++f) baton::go([&] { l.count_down(); });
      l.wait();
    }
    return seconds_since(begin);
  });
}

// One phase of ten fibers.
void barrier_of_10(benchmark::State& state) {
  constexpr int phases = 10'000;
  run_batches(state, phases, [] {
    baton::barrier<> meet(10);
    std::vector<baton::fiber<void>> all;
    const auto begin = clock_type::now();
    for (int f = 0; f < 10; ++f) {
      all.push_back(baton::spawn([&] {
        for (int i = 0; i < phases; ++i) meet.arrive_and_wait();
      }));
    }
    for (auto& f : all) f.join();
    return seconds_since(begin);
  });
}

void call_once_again(benchmark::State& state) {
  constexpr int calls = 1'000'000;
  run_batches(state, calls, [] {
    baton::once_flag flag;
    int count = 0;
    const auto begin = clock_type::now();
    for (int i = 0; i < calls; ++i) {
      baton::call_once(flag, [&] { ++count; });
      benchmark::DoNotOptimize(flag);
    }
    return seconds_since(begin);
  });
}

BENCHMARK(atomic_add_pair)->Arg(1)->UseManualTime();
BENCHMARK(read_lock_uncontended<baton::shared_mutex>)->Arg(1)->UseManualTime();
BENCHMARK(read_lock_uncontended<std::shared_mutex>)->Arg(1)->UseManualTime();
BENCHMARK(write_lock_uncontended<baton::shared_mutex>)->Arg(1)->UseManualTime();
BENCHMARK(write_lock_uncontended<std::shared_mutex>)->Arg(1)->UseManualTime();
BENCHMARK(mixed_of_100)->Args({1, 10})->Args({2, 10})->Args({1, 1'000})->Args({2, 1'000})->UseManualTime();
BENCHMARK(latch_of_100)->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(barrier_of_10)->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(call_once_again)->Arg(1)->UseManualTime();

}  // namespace
