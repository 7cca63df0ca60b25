// What timers cost that never fire, which is what most of them do, and what a firing timer costs (batches.h says how
// rows are measured).
//
//   create_stop            a timer without a listener: a look at the clock, beside it
//   clock_look             a look at the clock
//   create_listen_stop     with its channel made, and the clock set
//   after_func_stop        with a function
//   reset                  of a timer that has a listener
//   with 100,000 beside    the same while so many others are set
#include "batches.h"

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

// run_batches() while as many other timers are set as the second argument says.
template <class Batch>
void run_beside_timers(benchmark::State& state, std::int64_t ops, Batch batch) {
  std::vector<baton::timer> others;
  baton::run([&] {
    for (std::int64_t i = 0; i < state.range(1); ++i) {
      others.push_back(baton::after_func(1h + std::chrono::milliseconds(i * 7919 % 100'003), [] {}));
    }
  });
  bench::run_batches(state, ops, batch);
  baton::run([&] { others.clear(); });
}

constexpr int times = 100'000;

void clock_look(benchmark::State& state) {
  run_beside_timers(state, times, [] {
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < times; ++i) {
      benchmark::DoNotOptimize(bench::clock_type::now());
    }
    return bench::seconds_since(begin);
  });
}

void create_stop(benchmark::State& state) {
  run_beside_timers(state, times, [] {
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < times; ++i) {
      baton::timer t(1h);
      benchmark::DoNotOptimize(t);
      benchmark::DoNotOptimize(t.stop());
    }
    return bench::seconds_since(begin);
  });
}

void create_listen_stop(benchmark::State& state) {
  run_beside_timers(state, times, [] {
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < times; ++i) {
      baton::timer t(1h);
      benchmark::DoNotOptimize(t.fired());
      benchmark::DoNotOptimize(t.stop());
    }
    return bench::seconds_since(begin);
  });
}

void after_func_stop(benchmark::State& state) {
  run_beside_timers(state, times, [] {
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < times; ++i) {
      baton::timer t = baton::after_func(1h, [] {});
      benchmark::DoNotOptimize(t.stop());
    }
    return bench::seconds_since(begin);
  });
}

void reset(benchmark::State& state) {
  run_beside_timers(state, times, [] {
    baton::timer t(1h);
    const auto c = t.fired();
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < times; ++i) benchmark::DoNotOptimize(t.reset(1h));
    return bench::seconds_since(begin);
  });
}

// From the setting of a timer whose time has come to the value in the hand, through the scheduler.
void fire_and_receive(benchmark::State& state) {
  constexpr int firings = 2'000;
  run_beside_timers(state, firings, [] {
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < firings; ++i) {
      const baton::timer t(1us);
      benchmark::DoNotOptimize(t.fired().receive());
    }
    return bench::seconds_since(begin);
  });
}

const bench::row rows[] = {
    {.benchmark = "clock_look", .run = clock_look, .args = {1, 0}, .name = "a look at the clock"},
    {.benchmark = "create_stop",
     .run = create_stop,
     .args = {1, 0},
     .name = "timer that nobody listens to: make, stop",
     .primitive = {"a look at the clock", "clock_look/1/0"},
     .target = bench::at_most_ns(80)},
    {.benchmark = "create_listen_stop",
     .run = create_listen_stop,
     .args = {1, 0},
     .name = "timer with its channel: make, stop",
     .primitive = {"a look at the clock", "clock_look/1/0"}},
    {.benchmark = "create_listen_stop",
     .run = create_listen_stop,
     .args = {1, 100'000},
     .name = "timer with its channel: make, stop, 100,000 others set",
     .primitive = {"a look at the clock", "clock_look/1/0"}},
    {.benchmark = "after_func_stop",
     .run = after_func_stop,
     .args = {1, 0},
     .name = "timer with a function: make, stop",
     .primitive = {"a look at the clock", "clock_look/1/0"},
     .target = bench::at_most_ns(80)},
    {.benchmark = "after_func_stop",
     .run = after_func_stop,
     .args = {1, 100'000},
     .name = "timer with a function: make, stop, 100,000 others set",
     .primitive = {"a look at the clock", "clock_look/1/0"}},
    {.benchmark = "reset",
     .run = reset,
     .args = {1, 0},
     .name = "timer with its channel: reset",
     .primitive = {"a look at the clock", "clock_look/1/0"}},
    {.benchmark = "reset",
     .run = reset,
     .args = {1, 100'000},
     .name = "timer with its channel: reset, 100,000 others set",
     .primitive = {"a look at the clock", "clock_look/1/0"}},
    {.benchmark = "fire_and_receive",
     .run = fire_and_receive,
     .args = {1, 0},
     .name = "timer of no length: make, receive",
     .primitive = {"a look at the clock", "clock_look/1/0"}},
};
const bench::batches measured("sync", rows);

}  // namespace
