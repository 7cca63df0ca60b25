// Round trips of two fibers that wake each other, by a semaphore and by a condition_variable, beside the
// same by two channels without room (pairs.h says how pairs are measured). The argument is the number of Ps.
#include "pairs.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/condition_variable.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/semaphore.h>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <mutex>

namespace {

constexpr std::int64_t trips = 50'000;

// Seconds of the trips, each a mine() answered by a theirs() in another fiber.
template <class Mine, class Theirs>
double round_trips(Mine mine, Theirs theirs) {
  auto other = baton::spawn([&] {
    for (std::int64_t i = 0; i < trips; ++i) theirs(i);
  });
  const auto begin = bench::clock_type::now();
  for (std::int64_t i = 0; i < trips; ++i) mine(i);
  const double seconds = bench::seconds_since(begin);
  other.join();
  return seconds;
}

double by_channels() {
  const baton::channel<std::int64_t> ping;
  const baton::channel<std::int64_t> pong;
  return round_trips(
      [&](std::int64_t i) {
        ping.send(i);
        benchmark::DoNotOptimize(pong.receive());
      },
      [&](std::int64_t) { pong.send(*ping.receive()); });
}

double by_semaphores() {
  baton::semaphore ping(0);
  baton::semaphore pong(0);
  return round_trips(
      [&](std::int64_t) {
        ping.release();
        pong.acquire();
      },
      [&](std::int64_t) {
        ping.acquire();
        pong.release();
      });
}

// A place for one number, with its mutex: what a condition_variable is for.
class slot {
 public:
  void put(std::int64_t v) {
    {
      const std::lock_guard guard(m_);
      value_ = v;
      full_ = true;
    }
    filled_.notify_one();
  }
  std::int64_t take() {
    std::unique_lock lock(m_);
    filled_.wait(lock, [&] { return full_; });
    full_ = false;
    return value_;
  }

 private:
  baton::mutex m_;
  baton::condition_variable filled_;
  std::int64_t value_ = 0;
  bool full_ = false;
};

double by_condition_variables() {
  slot ping;
  slot pong;
  return round_trips(
      [&](std::int64_t i) {
        ping.put(i);
        benchmark::DoNotOptimize(pong.take());
      },
      [&](std::int64_t) { pong.put(ping.take()); });
}

void semaphore_trip(benchmark::State& state) {
  bench::run_pairs(state, static_cast<int>(state.range(0)), trips, by_semaphores, by_channels);
}

void condition_variable_trip(benchmark::State& state) {
  bench::run_pairs(state, static_cast<int>(state.range(0)), trips, by_condition_variables, by_channels);
}

const bench::row rows[] = {
    {.benchmark = "semaphore_trip",
     .run = semaphore_trip,
     .args = {1},
     .name = "semaphore round trip, 2 fibers",
     .primitive = {"2 channels"},
     .target = bench::at_most_times(1)},
    {.benchmark = "semaphore_trip",
     .run = semaphore_trip,
     .args = {2},
     .name = "semaphore round trip, 2 Ps",
     .primitive = {"2 channels"}},
    {.benchmark = "condition_variable_trip",
     .run = condition_variable_trip,
     .args = {1},
     .name = "condition_variable round trip, 2 fibers",
     .primitive = {"2 channels"},
     .target = bench::at_most_times(1)},
    {.benchmark = "condition_variable_trip",
     .run = condition_variable_trip,
     .args = {2},
     .name = "condition_variable round trip, 2 Ps",
     .primitive = {"2 channels"}},
};
const bench::pairs measured("sync", rows);

}  // namespace
