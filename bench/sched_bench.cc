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

const bench::row rows[] = {
    {.benchmark = "yield",
     .run = yield,
     .args = {1, 2},
     .name = "yield, 2 fibers, in short blocks",
     .primitive = {"jump_fcontext"},
     .target = bench::at_most_ns(15) || bench::at_most_times(4)},
    {.benchmark = "yield",
     .run = yield,
     .args = {1, 1000},
     .name = "yield, 1,000 fibers, in short blocks",
     .primitive = {"jump_fcontext, 1,000"},
     .target = bench::at_most_ns(30)},
    {.benchmark = "yield",
     .run = yield,
     .args = {2, 2},
     .name = "yield, 2 fibers, 2 Ps, in short blocks",
     .primitive = {"jump_fcontext"}},
    {.benchmark = "yield",
     .run = yield,
     .args = {2, 1000},
     .name = "yield, 1,000 fibers, 2 Ps, in short blocks",
     .primitive = {"jump_fcontext, 1,000"}},
    {.benchmark = "spawn_join",
     .run = spawn_join,
     .args = {1},
     .name = "spawn + join, in short blocks",
     .primitive = {"make_fcontext, 2 jumps"},
     .target = bench::at_most_ns(90)},
    {.benchmark = "spawn_join",
     .run = spawn_join,
     .args = {2},
     .name = "spawn + join, 2 Ps, in short blocks",
     .primitive = {"make_fcontext, 2 jumps"}},
    {.benchmark = "spawn_all",
     .run = spawn_all,
     .args = {1},
     .name = "spawn 100, join 100: each",
     .primitive = {"make_fcontext, 2 jumps"},
     .target = bench::at_most_ns(90)},
    {.benchmark = "spawn_all",
     .run = spawn_all,
     .args = {2},
     .name = "spawn 100, join 100, 2 Ps: each",
     .primitive = {"make_fcontext, 2 jumps"}},
    {.benchmark = "go_wait_group",
     .run = go_wait_group,
     .args = {1},
     .name = "go 100, wait_group: each",
     .primitive = {"make_fcontext, 2 jumps"}},
    {.benchmark = "go_wait_group",
     .run = go_wait_group,
     .args = {2},
     .name = "go 100, wait_group, 2 Ps: each",
     .primitive = {"make_fcontext, 2 jumps"}},
    {.benchmark = "event_trip",
     .run = event_trip,
     .args = {1},
     .name = "event round trip, 2 fibers",
     .primitive = {"2 jump_fcontext"},
     .target = bench::at_most_ns(70)},
    {.benchmark = "event_trip",
     .run = event_trip,
     .args = {2},
     .name = "event round trip, 2 fibers, 2 Ps",
     .primitive = {"2 jump_fcontext"}},
};
const bench::pairs measured("sched", rows);

}  // namespace
