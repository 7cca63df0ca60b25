// What switching and starting fibers costs (rows as pairs.h says). The first argument is the number of
// Ps; with more than one the primitive still runs on one thread, so those rows are only informational.
//
//   yield/P/F        this_fiber::yield() with F fibers that do nothing else, per switch; beside it a
//                    ring of F contexts that jump_fcontext to each other, per jump
//   spawn_join/P     spawn an empty fiber and join it; beside it make_fcontext on a warm stack, a jump
//                    there and a jump back
//   spawn_all/P      spawn 100 empty fibers, then join them; beside it the same with contexts
//   go_wait_group/P  go 100 fibers that each call done(), then wait; beside it the same with contexts
//   event_trip/P     a fiber sets an event and waits for the answer of another one: park and ready on
//                    both sides; beside it two jumps
#include "bare_contexts.h"
#include "pairs.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>

#include <atomic>
#include <cstdint>
#include <vector>

namespace {

constexpr std::int64_t switches = 100'000;
constexpr std::int64_t starts = 10'000;
constexpr std::int64_t trips = 25'000;
constexpr std::size_t group = 100;

// Rounds of a ring of F contexts; returns the seconds for `jumps` jumps.
double time_ring(bench::bare_ring& ring, std::int64_t members, std::int64_t jumps) {
  const auto begin = bench::clock_type::now();
  for (std::int64_t i = 0; i < jumps / members; ++i) ring.round();
  return bench::seconds_since(begin);
}

double time_starts(bench::bare_starts& pool, std::size_t members) {
  const auto begin = bench::clock_type::now();
  for (std::size_t i = 0; i < static_cast<std::size_t>(starts) / members; ++i) pool.round();
  return bench::seconds_since(begin);
}

// Returns the seconds for `switches` switches. With several Ps the others yield at their own pace, so
// all yields are counted and the time is scaled.
double yield_block(std::int64_t members) {
  enum { warm_up, measure, over };  // added up: a fiber counts its yields while it is 1
  std::atomic<int> phase{warm_up};
  std::atomic<std::int64_t> yields{0};
  std::vector<baton::fiber<void>> others;
  others.reserve(static_cast<std::size_t>(members));
  for (std::int64_t i = 1; i < members; ++i) {
    others.push_back(baton::spawn([&] {
      std::int64_t mine = 0;
      for (int now = warm_up; now != over; now = phase.load(std::memory_order_relaxed)) {
        mine += now;
        baton::this_fiber::yield();
      }
      yields.fetch_add(mine, std::memory_order_relaxed);
    }));
  }
  for (int i = 0; i < 3; ++i) baton::this_fiber::yield();
  const std::int64_t mine = switches / members;
  phase.store(measure, std::memory_order_relaxed);
  const auto begin = bench::clock_type::now();
  for (std::int64_t i = 0; i < mine; ++i) baton::this_fiber::yield();
  const double seconds = bench::seconds_since(begin);
  phase.store(over, std::memory_order_relaxed);
  for (auto& f : others) f.join();
  const auto all = static_cast<double>(yields.load(std::memory_order_relaxed) + mine);
  return seconds * static_cast<double>(switches) / all;
}

void yield(benchmark::State& state) {
  const std::int64_t members = state.range(1);
  bench::bare_ring ring(static_cast<std::size_t>(members));
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), switches, [=] { return yield_block(members); },
      [&ring, members] { return time_ring(ring, members, switches); });
}

void spawn_join(benchmark::State& state) {
  bench::bare_starts pool(1);
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), starts,
      [] {
        const auto begin = bench::clock_type::now();
        for (std::int64_t i = 0; i < starts; ++i) baton::spawn([] {}).join();
        return bench::seconds_since(begin);
      },
      [&pool] { return time_starts(pool, 1); });
}

void spawn_all(benchmark::State& state) {
  bench::bare_starts pool(group);
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), starts,
      [] {
        std::vector<baton::fiber<void>> fibers;
        fibers.reserve(group);
        const auto begin = bench::clock_type::now();
        for (std::int64_t i = 0; i < starts / static_cast<std::int64_t>(group); ++i) {
          for (std::size_t f = 0; f < group; ++f) fibers.push_back(baton::spawn([] {}));
          for (auto& f : fibers) f.join();
          fibers.clear();
        }
        return bench::seconds_since(begin);
      },
      [&pool] { return time_starts(pool, group); });
}

void go_wait_group(benchmark::State& state) {
  bench::bare_starts pool(group);
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), starts,
      [] {
        const auto begin = bench::clock_type::now();
        for (std::int64_t i = 0; i < starts / static_cast<std::int64_t>(group); ++i) {
          baton::wait_group all;
          all.add(static_cast<int>(group));
          for (std::size_t f = 0; f < group; ++f) baton::go([&all] { all.done(); });
          all.wait();
        }
        return bench::seconds_since(begin);
      },
      [&pool] { return time_starts(pool, group); });
}

void event_trip(benchmark::State& state) {
  bench::bare_ring ring(2);
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), trips,
      [] {
        baton::event ping;
        baton::event pong;
        auto other = baton::spawn([&] {
          for (std::int64_t i = 0; i <= trips; ++i) {
            ping.wait();
            ping.reset();
            pong.set();
          }
        });
        const auto trip = [&] {
          ping.set();
          pong.wait();
          pong.reset();
        };
        trip();
        const auto begin = bench::clock_type::now();
        for (std::int64_t i = 0; i < trips; ++i) trip();
        const double seconds = bench::seconds_since(begin);
        other.join();
        return seconds;
      },
      [&ring] { return time_ring(ring, 2, 2 * trips); });
}

BENCHMARK(yield)->Apply([](auto* b) {
  bench::paired(b->Args({1, 2})->Args({1, 1000})->Args({2, 2})->Args({2, 1000}));
});
BENCHMARK(spawn_join)->Apply([](auto* b) { bench::paired(b->Arg(1)->Arg(2)); });
BENCHMARK(spawn_all)->Apply([](auto* b) { bench::paired(b->Arg(1)->Arg(2)); });
BENCHMARK(go_wait_group)->Apply([](auto* b) { bench::paired(b->Arg(1)->Arg(2)); });
BENCHMARK(event_trip)->Apply([](auto* b) { bench::paired(b->Arg(1)->Arg(2)); });

}  // namespace
