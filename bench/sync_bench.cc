// What waiting and passing on cost: events, mutexes, channels.
//
// A benchmark's loop runs on the plain main thread. Each iteration runs one batch of operations in
// fibers and reports the time that a fiber measured around them (manual time), so that starting the
// fibers is not counted. `per_op` is that time per operation. The number of Ps is the argument; the
// bare compare-and-swap pairs beside the mutex are measured in the same process, in a fiber as well.
#include <baton/runtime/channel.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/semaphore.h>
#include <baton/runtime/wait_group.h>

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <mutex>
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

void event_round_trip(benchmark::State& state) {
  constexpr int trips = 100'000;
  run_batches(state, trips, [] {
    baton::event ping;
    baton::event pong;
    auto other = baton::spawn([&] {
      for (int i = 0; i < trips; ++i) {
        ping.wait();
        ping.reset();
        pong.set();
      }
    });
    const auto begin = clock_type::now();
    for (int i = 0; i < trips; ++i) {
      ping.set();
      pong.wait();
      pong.reset();
    }
    const double seconds = seconds_since(begin);
    other.join();
    return seconds;
  });
}

void cas_pair(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  run_batches(state, pairs, [] {
    std::atomic<std::uint32_t> word{0};
    const auto begin = clock_type::now();
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
    return seconds_since(begin);
  });
}

template <class Mutex>
void mutex_uncontended(benchmark::State& state) {
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

void mutex_contended(benchmark::State& state) {
  constexpr int fibers = 100;
  constexpr int each = 5'000;
  run_batches(state, std::int64_t{fibers} * each, [] {
    baton::mutex m;
    std::int64_t count = 0;
    std::vector<baton::fiber<void>> all;
    all.reserve(fibers);
    const auto begin = clock_type::now();
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
    return seconds_since(begin);
  });
}

void semaphore_uncontended(benchmark::State& state) {
  constexpr int pairs = 1'000'000;
  run_batches(state, pairs, [] {
    baton::semaphore s(1);
    const auto begin = clock_type::now();
    for (int i = 0; i < pairs; ++i) {
      s.acquire();
      s.release();
    }
    return seconds_since(begin);
  });
}

void channel_ping_pong(benchmark::State& state) {
  constexpr int trips = 100'000;
  run_batches(state, trips, [] {
    const baton::channel<int> ping;
    const baton::channel<int> pong;
    auto other = baton::spawn([=] {
      while (auto v = ping.receive()) pong.send(*v);
    });
    const auto begin = clock_type::now();
    for (int i = 0; i < trips; ++i) {
      ping.send(i);
      benchmark::DoNotOptimize(pong.receive());
    }
    const double seconds = seconds_since(begin);
    ping.close();
    other.join();
    return seconds;
  });
}

void channel_buffered(benchmark::State& state) {
  constexpr int items = 1'000'000;
  run_batches(state, items, [] {
    const baton::channel<int> c(128);
    auto receiver = baton::spawn([=] {
      std::int64_t sum = 0;
      while (auto v = c.receive()) sum += *v;
      return sum;
    });
    const auto begin = clock_type::now();
    for (int i = 0; i < items; ++i) c.send(i);
    c.close();
    benchmark::DoNotOptimize(receiver.join());
    return seconds_since(begin);
  });
}

void wait_group_of_100(benchmark::State& state) {
  constexpr int groups = 200;
  run_batches(state, groups, [] {
    const auto begin = clock_type::now();
    for (int i = 0; i < groups; ++i) {
      baton::wait_group g;
      g.add(100);
      for (int f = 0; f < 100; ++f) baton::go([&] { g.done(); });
      g.wait();
    }
    return seconds_since(begin);
  });
}

BENCHMARK(event_round_trip)->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(cas_pair)->Arg(1)->UseManualTime();
BENCHMARK(mutex_uncontended<baton::mutex>)->Arg(1)->UseManualTime();
BENCHMARK(mutex_uncontended<std::mutex>)->Arg(1)->UseManualTime();
BENCHMARK(mutex_contended)->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(semaphore_uncontended)->Arg(1)->UseManualTime();
BENCHMARK(channel_ping_pong)->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(channel_buffered)->Arg(1)->Arg(2)->UseManualTime();
BENCHMARK(wait_group_of_100)->Arg(1)->Arg(2)->UseManualTime();

}  // namespace
