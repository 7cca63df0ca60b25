// What timers cost that never fire, which is what most of them do; and what a firing one costs. See
// sync_bench.cc for the manner.
//
//   create_stop            a timer that nobody has listened to: a look at the clock, beside it
//   clock_look             a look at the clock
//   create_listen_stop     with its channel made, and the clock set
//   after_func_stop        with a function
//   reset                  of a timer that somebody listens to
//   with 100,000 beside    the same while so many others are set
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/ticker.h>
#include <baton/runtime/timer.h>

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

double seconds_since(clock_type::time_point begin) {
  return std::chrono::duration<double>(clock_type::now() - begin).count();
}

// Runs batch() -> seconds as a fiber, once per iteration; with so many timers set beside it.
template <class Batch>
void run_batches(benchmark::State& state, std::int64_t ops, Batch batch) {
  baton::run([] {});
  baton::set_procs(static_cast<int>(state.range(0)));
  std::vector<baton::timer> others;
  baton::run([&] {
    for (std::int64_t i = 0; i < state.range(1); ++i) {
      others.push_back(baton::after_func(1h + std::chrono::milliseconds(i * 7919 % 100'003), [] {}));
    }
  });
  for (auto _ : state) {
    double seconds = 0;
    baton::run([&] { seconds = batch(); });
    state.SetIterationTime(seconds);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * ops);
  using counter = benchmark::Counter;
  state.counters["per_op"] = counter(static_cast<double>(ops), counter::kIsIterationInvariantRate | counter::kInvert);
  baton::run([&] { others.clear(); });
}

constexpr int times = 100'000;

void clock_look(benchmark::State& state) {
  run_batches(state, times, [] {
    const auto begin = clock_type::now();
    for (int i = 0; i < times; ++i) {
      benchmark::DoNotOptimize(clock_type::now());
    }
    return seconds_since(begin);
  });
}

void create_stop(benchmark::State& state) {
  run_batches(state, times, [] {
    const auto begin = clock_type::now();
    for (int i = 0; i < times; ++i) {
      baton::timer t(1h);
      benchmark::DoNotOptimize(t);
      benchmark::DoNotOptimize(t.stop());
    }
    return seconds_since(begin);
  });
}

void create_listen_stop(benchmark::State& state) {
  run_batches(state, times, [] {
    const auto begin = clock_type::now();
    for (int i = 0; i < times; ++i) {
      baton::timer t(1h);
      benchmark::DoNotOptimize(t.fired());
      benchmark::DoNotOptimize(t.stop());
    }
    return seconds_since(begin);
  });
}

void after_func_stop(benchmark::State& state) {
  run_batches(state, times, [] {
    const auto begin = clock_type::now();
    for (int i = 0; i < times; ++i) {
      baton::timer t = baton::after_func(1h, [] {});
      benchmark::DoNotOptimize(t.stop());
    }
    return seconds_since(begin);
  });
}

void reset(benchmark::State& state) {
  run_batches(state, times, [] {
    baton::timer t(1h);
    const auto c = t.fired();
    const auto begin = clock_type::now();
    for (int i = 0; i < times; ++i) benchmark::DoNotOptimize(t.reset(1h));
    return seconds_since(begin);
  });
}

// From the setting of a timer whose time has come to the value in the hand, through the scheduler.
void fire_and_receive(benchmark::State& state) {
  constexpr int firings = 2'000;
  run_batches(state, firings, [] {
    const auto begin = clock_type::now();
    for (int i = 0; i < firings; ++i) {
      const baton::timer t(1us);
      benchmark::DoNotOptimize(t.fired().receive());
    }
    return seconds_since(begin);
  });
}

BENCHMARK(clock_look)->Args({1, 0})->UseManualTime();
BENCHMARK(create_stop)->Args({1, 0})->UseManualTime();
BENCHMARK(create_listen_stop)->Args({1, 0})->Args({1, 100'000})->UseManualTime();
BENCHMARK(after_func_stop)->Args({1, 0})->Args({1, 100'000})->UseManualTime();
BENCHMARK(reset)->Args({1, 0})->Args({1, 100'000})->UseManualTime();
BENCHMARK(fire_and_receive)->Args({1, 0})->UseManualTime();

}  // namespace
