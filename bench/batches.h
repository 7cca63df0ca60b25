// Rows that are measured in batches. A benchmark's loop runs on the plain main thread. Each iteration runs one batch
// of operations in fibers and reports the time that a fiber measured around them (manual time), so that starting the
// fibers is not counted. `per_op` is that time per operation.
//
// A primitive that stands beside such a row is a benchmark of its own in the same process, in a fiber as well.
#pragma once

#include "clock.h"
#include "rows.h"

#include <baton/runtime/run.h>

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <iterator>

namespace bench {

// Runs batch() -> seconds as a fiber, once per iteration, on as many Ps as the first argument says.
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

// Registers the rows of a program.
class batches {
 public:
  template <std::size_t N>
  batches(const char* group, const row (&rows)[N]) {
    add_rows(group, false, {std::begin(rows), std::end(rows)});
  }
};

}  // namespace bench
