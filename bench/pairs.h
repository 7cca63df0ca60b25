// A benchmark row: an operation of baton beside the bare primitive that it is made of.
//
// Each iteration runs one fiber, and in it a block of the operation and a block of the primitive, in
// alternating order: both are measured on the same thread, within the same milliseconds. Google
// Benchmark's loop itself stays on the plain main thread. A block returns the seconds that its timed
// part took, so starting fibers and filling caches is not counted.
//
// What is reported (all per operation, for each repetition; the medians are what counts):
//   baton_ns   the operation: the median of its blocks
//   bare_ns    the primitive: the median of its blocks
//   ratio      operation / primitive: the median over the iterations
//   extra_ns   operation - primitive: the median over the iterations
// Medians of the blocks rather than means, because a block that the kernel interrupted tells about the
// kernel. Google Benchmark's own Time is the mean of a whole block.
#pragma once

#include "clock.h"
#include "rows.h"

#include <baton/runtime/run.h>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

namespace bench {

inline double median_of(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// `ops` is the number of operations that each block times.
template <class Baton, class Bare>
void run_pairs(benchmark::State& state, int procs, std::int64_t ops, Baton baton_block, Bare bare_block) {
  baton::run([] {}, {.procs = procs});
  baton::set_procs(procs);
  const auto per_op = 1e9 / static_cast<double>(ops);
  std::vector<double> with;
  std::vector<double> bare;
  std::vector<double> ratio;
  std::vector<double> extra;
  bool bare_first = false;
  baton::run([&] {  // once, untimed
    baton_block();
    bare_block();
  });
  for (auto _ : state) {
    double with_s = 0;
    double bare_s = 0;
    baton::run([&] {
      if (bare_first) bare_s = bare_block();
      with_s = baton_block();
      if (!bare_first) bare_s = bare_block();
    });
    bare_first = !bare_first;
    with.push_back(with_s * per_op);
    bare.push_back(bare_s * per_op);
    ratio.push_back(with_s / bare_s);
    extra.push_back((with_s - bare_s) * per_op);
    state.SetIterationTime(with_s);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * ops);
  state.counters["baton_ns"] = median_of(with);
  state.counters["bare_ns"] = median_of(bare);
  state.counters["ratio"] = median_of(ratio);
  state.counters["extra_ns"] = median_of(extra);
}

// Registers the rows of a program.
class pairs {
 public:
  template <std::size_t N>
  pairs(const char* group, const row (&rows)[N]) {
    add_rows(group, true, {std::begin(rows), std::end(rows)});
  }
};

}  // namespace bench
