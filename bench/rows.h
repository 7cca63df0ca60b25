// The rows of a program that Google Benchmark drives. A row stands beside the code that measures it: it names the
// function and its arguments, and says what the table shows. pairs.h and batches.h register the rows; rows_main.cc
// prints them as JSON for `PROGRAM --rows`, and bench/driver/google.py fills them with figures.
//
//   const bench::row rows[] = {
//       {.benchmark = "yield",
//        .run = yield,
//        .args = {1, 2},
//        .name = "yield, 2 fibers, in short blocks",
//        .primitive = {"jump_fcontext"},
//        .target = bench::at_most_ns(15) || bench::at_most_times(4)},
//   };
//   const bench::pairs measured("sched", rows);  // the group; or bench::batches
//
// A new row is one more element of such a list. The groups are sched, sync, syscall, handoff, net and memory.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

// The figure is "ns", "ratio" (baton by the primitive) or "extra" (baton less the primitive, ns).
struct limit {
  const char* figure;
  double at_most;
};

// Reached if the medians keep one of the limits. Without a limit the row is not judged.
struct target {
  std::string text;
  std::vector<limit> any_of;
  [[nodiscard]] target shown_as(const char* words) const { return {words, any_of}; }
};

target at_most_ns(double ns);
target at_most_times(double ratio);
target at_most_extra_ns(double ns);
target operator||(const target& a, const target& b);  // "<= 15 ns or 4 x"

// What stands beside baton's figure. `benchmark` is the row of this program that measures it, as Google Benchmark
// names it ("cas_pair/1"). Empty: the pair itself measures it.
struct beside {
  std::string name;
  std::string benchmark = {};
};

struct row {
  const char* benchmark;                // the function's name, as Google Benchmark shows it
  void (*run)(benchmark::State&);       // times the operation, or pairs of it and the primitive
  std::vector<std::int64_t> args = {};  // the number of Ps is the first one
  const char* name = "";                // the row's name in the table
  beside primitive = {};                // what the operation is made of: baton cannot lose to it
  beside peer = {};                     // the same of another library: baton can lose to it
  bench::target target = {};
  const char* unit = "ns";  // bench/driver/google.py converts times to it
  bool manual_time = true;  // false: Google Benchmark times the loop
};

// Registers the rows with Google Benchmark and keeps them for --rows.
void add_rows(const char* group, bool are_pairs, const std::vector<row>& rows);

}  // namespace bench
