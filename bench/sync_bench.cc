// What waiting and passing on cost: events, mutexes, channels (batches.h says how rows are measured).
#include "batches.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/semaphore.h>
#include <baton/runtime/wait_group.h>

#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace {

void event_round_trip(benchmark::State& state) {
  constexpr int trips = 100'000;
  bench::run_batches(state, trips, [] {
    baton::event ping;
    baton::event pong;
    auto other = baton::spawn([&] {
      for (int i = 0; i < trips; ++i) {
        ping.wait();
        ping.reset();
        pong.set();
      }
    });
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < trips; ++i) {
      ping.set();
      pong.wait();
      pong.reset();
    }
    const double seconds = bench::seconds_since(begin);
    other.join();
    return seconds;
  });
}

void cas_pair(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  bench::run_batches(state, pairs, [] {
    std::atomic<std::uint32_t> word{0};
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < pairs; ++i) {
      std::uint32_t expected = 0;
      if (!word.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed)) {
        std::abort();
      }
      expected = 1;
      if (!word.compare_exchange_strong(expected, 0, std::memory_order_release, std::memory_order_relaxed)) {
        std::abort();
      }
      benchmark::DoNotOptimize(word);
    }
    return bench::seconds_since(begin);
  });
}

template <class Mutex>
void mutex_uncontended(benchmark::State& state) {
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

void mutex_contended(benchmark::State& state) {
  constexpr int fibers = 100;
  constexpr int each = 5'000;
  bench::run_batches(state, std::int64_t{fibers} * each, [] {
    baton::mutex m;
    std::int64_t count = 0;
    std::vector<baton::fiber<void>> all;
    all.reserve(fibers);
    const auto begin = bench::clock_type::now();
    for (int f = 0; f < fibers; ++f) {
      all.push_back(baton::spawn([&] {
        for (int i = 0; i < each; ++i) {
          m.lock();
          ++count;
          m.unlock();
        }
      }));
    }
    for (auto& f : all) f.join();
    benchmark::DoNotOptimize(count);
    return bench::seconds_since(begin);
  });
}

void semaphore_uncontended(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  bench::run_batches(state, pairs, [] {
    baton::semaphore s(1);
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < pairs; ++i) {
      s.acquire();
      s.release();
    }
    return bench::seconds_since(begin);
  });
}

void channel_ping_pong(benchmark::State& state) {
  constexpr int trips = 100'000;
  bench::run_batches(state, trips, [] {
    const baton::channel<int> ping;
    const baton::channel<int> pong;
    auto other = baton::spawn([=] {
      while (auto v = ping.receive()) pong.send(*v);
    });
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < trips; ++i) {
      ping.send(i);
      benchmark::DoNotOptimize(pong.receive());
    }
    const double seconds = bench::seconds_since(begin);
    ping.close();
    other.join();
    return seconds;
  });
}

void channel_buffered(benchmark::State& state) {
  constexpr int items = 1'000'000;
  bench::run_batches(state, items, [] {
    const baton::channel<int> c(128);
    auto receiver = baton::spawn([=] {
      std::int64_t sum = 0;
      while (auto v = c.receive()) sum += *v;
      return sum;
    });
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < items; ++i) c.send(i);
    c.close();
    benchmark::DoNotOptimize(receiver.join());
    return bench::seconds_since(begin);
  });
}

void wait_group_of_100(benchmark::State& state) {
  constexpr int groups = 200;
  bench::run_batches(state, groups, [] {
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < groups; ++i) {
      baton::wait_group g;
      g.add(100);
      for (int f = 0; f < 100; ++f) baton::go([&] { g.done(); });
      g.wait();
    }
    return bench::seconds_since(begin);
  });
}

const bench::row rows[] = {
    {.benchmark = "event_round_trip", .run = event_round_trip, .args = {1}, .name = "event round trip (sync_bench)"},
    {.benchmark = "event_round_trip",
     .run = event_round_trip,
     .args = {2},
     .name = "event round trip (sync_bench), 2 Ps"},
    {.benchmark = "cas_pair", .run = cas_pair, .args = {1}, .name = "compare-and-swap pair"},
    {.benchmark = "mutex_uncontended<baton::mutex>",
     .run = mutex_uncontended<baton::mutex>,
     .args = {1},
     .name = "mutex, uncontended",
     .primitive = {"compare-and-swap pair", "cas_pair/1"},
     .peer = {"std::mutex", "mutex_uncontended<std::mutex>/1"},
     .target = bench::at_most_times(1.2)},
    {.benchmark = "mutex_uncontended<std::mutex>",
     .run = mutex_uncontended<std::mutex>,
     .args = {1},
     .name = "std::mutex"},
    {.benchmark = "mutex_contended",
     .run = mutex_contended,
     .args = {1},
     .name = "mutex, 100 fibers, 1 P (sync_bench)"},
    {.benchmark = "mutex_contended",
     .run = mutex_contended,
     .args = {2},
     .name = "mutex, 100 fibers, 2 Ps (sync_bench)",
     .target = bench::at_most_ns(23).shown_as("<= 23 ns (Go)")},
    {.benchmark = "semaphore_uncontended",
     .run = semaphore_uncontended,
     .args = {1},
     .name = "semaphore, uncontended",
     .primitive = {"compare-and-swap pair", "cas_pair/1"}},
    {.benchmark = "channel_ping_pong",
     .run = channel_ping_pong,
     .args = {1},
     .name = "channel ping-pong, round trip",
     .target = bench::at_most_ns(110)},
    {.benchmark = "channel_ping_pong",
     .run = channel_ping_pong,
     .args = {2},
     .name = "channel ping-pong, 2 Ps",
     .target = bench::at_most_ns(250)},
    {.benchmark = "channel_buffered",
     .run = channel_buffered,
     .args = {1},
     .name = "buffered(128) channel, an item",
     .target = bench::at_most_ns(25)},
    {.benchmark = "channel_buffered",
     .run = channel_buffered,
     .args = {2},
     .name = "buffered(128) channel, an item, 2 Ps"},
    {.benchmark = "wait_group_of_100", .run = wait_group_of_100, .args = {1}, .name = "go 100, wait_group: all"},
    {.benchmark = "wait_group_of_100", .run = wait_group_of_100, .args = {2}, .name = "go 100, wait_group, 2 Ps: all"},
};
const bench::batches measured("sync", rows);

}  // namespace
