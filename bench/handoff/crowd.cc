// Many fibers that block at once.
//
//   crowd fibers=N procs=P ms=M times=T
//     T times, N fibers are started, each makes one declared call of M ms, and all are joined.
//     cold_ms    the first time in this process: the threads are started
//     warm_ms    the other times
//
//   crowd_of_threads fibers=N ms=M times=T
//     the same without a runtime: a plain thread for each, started again each time
//
//   blockers procs=W extra=E segment_ms=S
//     W + E fibers make declared calls of 10 ms in a loop; one more fiber yields and looks at the clock.
//     without, with    in percent: how much of the wall time lay in gaps over 100 us, without blockers
//                      and with them, in turns, segment by segment
#include "scenarios.h"

#include <baton/baton.h>

#include <atomic>
#include <thread>
#include <vector>

namespace handoff {

namespace {

void declared_sleep(std::int64_t ns) {
  baton::blocking([ns] { block_ns(ns); });
}

double percent_in_gaps(std::int64_t length_ns) {
  const std::int64_t begin = now_ns();
  std::int64_t last = begin;
  std::int64_t lost = 0;
  while (last - begin < length_ns) {
    baton::this_fiber::yield();
    const std::int64_t now = now_ns();
    if (now - last > 100 * us) lost += now - last;
    last = now;
  }
  return 100 * static_cast<double>(lost) / static_cast<double>(last - begin);
}

}  // namespace

void crowd(const arguments& a, report& out) {
  const int fibers = a.number("fibers", 1'000);
  const std::int64_t length = a.number("ms", 100) * ms;
  baton::run(
      [&] {
        for (int round = 0; round < a.number("times", 3); ++round) {
          const std::int64_t begin = now_ns();
          std::vector<baton::fiber<void>> all;
          for (int i = 0; i < fibers; ++i) all.push_back(baton::spawn(declared_sleep, length));
          for (auto& fiber : all) fiber.join();
          out.add(round == 0 ? "cold_ms" : "warm_ms", in_ms(now_ns() - begin));
        }
      },
      {.procs = a.number("procs", 2)});
}

void crowd_of_threads(const arguments& a, report& out) {
  const std::int64_t length = a.number("ms", 100) * ms;
  for (int round = 0; round < a.number("times", 3); ++round) {
    const std::int64_t begin = now_ns();
    std::vector<std::thread> all;
    for (int i = 0; i < a.number("fibers", 1'000); ++i) all.emplace_back(block_ns, length);
    for (std::thread& t : all) t.join();
    out.add(round == 0 ? "cold_ms" : "warm_ms", in_ms(now_ns() - begin));
  }
}

void blockers(const arguments& a, report& out) {
  const int procs = a.number("procs", 1);
  const int count = procs + a.number("extra", 2);
  const std::int64_t segment = a.number("segment_ms", 500) * ms;
  baton::run(
      [&] {
        for (int i = 0; i < a.number("segments", 2); ++i) {
          out.add("without", percent_in_gaps(segment));
          std::atomic<bool> stop{false};
          std::vector<baton::fiber<void>> all;
          for (int n = 0; n < count; ++n) {
            all.push_back(baton::spawn([&stop] {
              while (!stop.load()) declared_sleep(10 * ms);
            }));
          }
          out.add("with", percent_in_gaps(segment));
          stop.store(true);
          for (auto& fiber : all) fiber.join();
        }
      },
      {.procs = procs});
}

}  // namespace handoff
