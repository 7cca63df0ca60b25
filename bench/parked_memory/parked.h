// What parked fibers cost, once for all runtimes in C++; bench/peers has it in Go and with Tokio.
//
//   parked fibers=N procs=P
//     Two rounds in one process. A round: one fiber starts N others, which wait for one gate each alone, and then lets
//     them run until all of them wait. Then the gate is opened, and all come to their end.
//   prints, for each fiber
//     first_bytes, again_bytes          VmRSS + VmPTE while all wait, minus what the process had before the first round
//     first_create_ns, again_create_ns  until all wait
//     first_wake_ns, again_wake_ns      from the opening until the last one has said that it is done
//   again: stacks and pages that the first round left can be used again.
//
//   spike fibers=N deep_mib=D wait_ms=W procs=P
//     N fibers touch D MiB of their stack each, wait for one gate together, and end. D is 7 at most
//   prints, in MiB, VmRSS + VmPTE minus what the process had before
//     peak_mib, kept_mib                while all wait; W ms after the last one has ended
//
// A Runtime has
//   run(procs, f)      runs f as a fiber; a second time in the same process, too
//   go(f), yield()
//   gate               wait(); open()
//   all_done           all_done(n); done(); wait()
//   settle()           waits until the fibers are gone altogether
#pragma once

#include "../process_memory.h"
#include "../scenario.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace parked_memory {

using namespace bench;

template <class Runtime>
void measure(std::int64_t fibers, const process_memory& before, const std::string& round, report& out) {
  typename Runtime::gate gate;
  typename Runtime::all_done all(fibers);
  std::atomic<std::int64_t> arrived{0};
  const auto each = [fibers](std::int64_t all_of_them) {
    return static_cast<double>(all_of_them) / static_cast<double>(fibers);
  };
  std::int64_t begin = now_ns();
  for (std::int64_t i = 1; i <= fibers; ++i) {
    Runtime::go([&gate, &all, &arrived] {
      arrived.fetch_add(1, std::memory_order_relaxed);
      gate.wait();
      all.done();
    });
    // They are to park as they come, as in a server, not to pile up in the run queue.
    if (i % 64 == 0) Runtime::yield();
  }
  while (arrived.load(std::memory_order_relaxed) < fibers) Runtime::yield();
  out.add(round + "_create_ns", each(now_ns() - begin));
  out.add(round + "_bytes", each(process_memory().total() - before.total()));

  begin = now_ns();
  gate.open();
  all.wait();
  out.add(round + "_wake_ns", each(now_ns() - begin));
  Runtime::settle();
}

__attribute__((noinline)) inline void touch_stack(std::size_t size) {
  auto* const memory = static_cast<volatile char*>(__builtin_alloca(size));
  for (std::size_t at = 0; at < size; at += 4'096) memory[at] = 1;
}

// The stacks have to be of 8 MiB.
template <class Runtime>
void spike(const arguments& a, report& out) {
  const int procs = a.number("procs", 1);
  const int fibers = a.number("fibers", 128);
  const std::size_t depth = static_cast<std::size_t>(a.number("deep_mib", 7)) << 20;
  Runtime::run(procs, [] {});
  const process_memory before;
  const auto more_than_before = [&before] {
    return static_cast<double>(process_memory().total() - before.total()) / (1 << 20);
  };
  Runtime::run(procs, [&] {
    typename Runtime::gate gate;
    typename Runtime::all_done all(fibers);
    std::atomic<int> arrived{0};
    for (int i = 0; i < fibers; ++i) {
      Runtime::go([&] {
        touch_stack(depth);
        arrived.fetch_add(1, std::memory_order_relaxed);
        gate.wait();
        all.done();
      });
    }
    while (arrived.load(std::memory_order_relaxed) < fibers) Runtime::yield();
    out.add("peak_mib", more_than_before());
    gate.open();
    all.wait();
    Runtime::settle();
  });
  block_ns(a.number("wait_ms", 3'000) * ms);
  out.add("kept_mib", more_than_before());
}

template <class Runtime>
void parked(const arguments& a, report& out) {
  const int procs = a.number("procs", 1);
  Runtime::run(procs, [] {});
  const process_memory before;
  for (const char* const round : {"first", "again"}) {
    Runtime::run(procs, [&] { measure<Runtime>(a.number("fibers", 100'000), before, round, out); });
  }
}

}  // namespace parked_memory
