// What a select costs an item: one consumer over four channels, each with a producer of its own.
//
//   ready      the channels have room for 128: a select nearly always finds something, and does not wait
//   blocking   they have none: with one P the consumer waits for, and is woken by, every item
//   idle       nothing is ready, and `otherwise` is chosen: what asking four channels costs
//
// Beside each, in the same run, the same items over one channel of the same capacity, received by a
// plain receive(): what it costs to listen to four instead of one. (Beside idle: four try_receive().)
// The argument is the number of Ps; see pairs.h for what is reported.
#include "pairs.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/select.h>

#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace {

constexpr std::size_t producers = 4;
constexpr std::int64_t each = 25'000;
constexpr std::int64_t items = each * std::int64_t{producers};

using numbers = baton::channel<std::int64_t>;

// Sends `each` numbers into the channel of each producer while `consume` takes all of them.
template <class Consume>
double produce_and(const std::array<numbers, producers>& channels, Consume consume) {
  std::vector<baton::fiber<void>> fibers;
  fibers.reserve(producers);
  const auto begin = bench::clock_type::now();
  for (const auto& c : channels) {
    fibers.push_back(baton::spawn([&c] {
      for (std::int64_t i = 0; i < each; ++i) c.send(i);
    }));
  }
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < items; ++i) consume(sum);
  const double seconds = bench::seconds_since(begin);
  for (auto& f : fibers) f.join();
  benchmark::DoNotOptimize(sum);
  return seconds;
}

double through_select(std::size_t capacity) {
  const std::array<numbers, producers> c{numbers(capacity), numbers(capacity), numbers(capacity), numbers(capacity)};
  return produce_and(c, [&](std::int64_t& sum) {
    const auto add = [&](std::optional<std::int64_t> v) { sum += *v; };
    baton::select(baton::on_receive(c[0], add), baton::on_receive(c[1], add), baton::on_receive(c[2], add),
                  baton::on_receive(c[3], add));
  });
}

double through_one_channel(std::size_t capacity) {
  const numbers one(capacity);
  return produce_and({one, one, one, one}, [&](std::int64_t& sum) { sum += *one.receive(); });
}

void select_ready(benchmark::State& state) {
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), items, [] { return through_select(128); },
      [] { return through_one_channel(128); });
}

void select_blocking(benchmark::State& state) {
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), items, [] { return through_select(0); },
      [] { return through_one_channel(0); });
}

void select_idle(benchmark::State& state) {
  constexpr std::int64_t looks = 100'000;
  const std::array<numbers, producers> c;
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), looks,
      [&] {
        std::int64_t none = 0;
        const auto begin = bench::clock_type::now();
        for (std::int64_t i = 0; i < looks; ++i) {
          const auto got = [](std::optional<std::int64_t>) {};
          baton::select(baton::on_receive(c[0], got), baton::on_receive(c[1], got), baton::on_receive(c[2], got),
                        baton::on_receive(c[3], got), baton::otherwise([&] { ++none; }));
        }
        const double seconds = bench::seconds_since(begin);
        benchmark::DoNotOptimize(none);
        return seconds;
      },
      [&] {
        std::optional<std::int64_t> out;
        const auto begin = bench::clock_type::now();
        for (std::int64_t i = 0; i < looks; ++i) {
          for (const auto& channel : c) benchmark::DoNotOptimize(channel.try_receive(out));
        }
        return bench::seconds_since(begin);
      });
}

const bench::row rows[] = {
    {.benchmark = "select_ready",
     .run = select_ready,
     .args = {1},
     .name = "select over 4 buffered channels, an item",
     .primitive = {"receive() from one"},
     .target = bench::at_most_ns(120)},
    {.benchmark = "select_ready",
     .run = select_ready,
     .args = {2},
     .name = "select over 4 buffered channels, 2 Ps",
     .primitive = {"receive() from one"}},
    {.benchmark = "select_blocking",
     .run = select_blocking,
     .args = {1},
     .name = "select over 4 that waits, an item",
     .primitive = {"receive() from one"},
     .target = bench::at_most_ns(120)},
    {.benchmark = "select_blocking",
     .run = select_blocking,
     .args = {2},
     .name = "select over 4 that waits, 2 Ps",
     .primitive = {"receive() from one"}},
    {.benchmark = "select_idle",
     .run = select_idle,
     .args = {1},
     .name = "select over 4, otherwise",
     .primitive = {"4 try_receive()"}},
};
const bench::pairs measured("sync", rows);

}  // namespace
