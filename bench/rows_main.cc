// The registry of the rows, and main() of the programs that have some: Google Benchmark's, with our defaults. What the
// command line says comes later, and wins.
//
//   PROGRAM --rows     prints the rows as JSON and measures nothing
#include "rows.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

namespace {

struct listed_row {
  std::string benchmark;  // with its arguments, as the results name it
  bool is_pair = false;
  row what;
};

struct listing {
  std::string group;
  std::vector<listed_row> rows;
};

// Rows are registered before main() begins.
listing& all_rows() {
  static listing all;
  return all;
}

std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

double minimum_of(const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); }
double maximum_of(const std::vector<double>& v) { return *std::max_element(v.begin(), v.end()); }

std::string json_of(const beside& b) {
  return "{\"name\": " + quoted(b.name) + ", \"benchmark\": " + quoted(b.benchmark) + "}";
}

std::string json_of(const listed_row& r) {
  std::string limits;
  for (const limit& l : r.what.target.any_of) {
    limits += (limits.empty() ? "[" : ", [") + quoted(l.figure) + ", " + shown(l.at_most) + "]";
  }
  return "{\"benchmark\": " + quoted(r.benchmark) + ", \"pair\": " + (r.is_pair ? "true" : "false") +
         ", \"name\": " + quoted(r.what.name) + ", \"unit\": " + quoted(r.what.unit) +
         ", \"primitive\": " + json_of(r.what.primitive) + ", \"peer\": " + json_of(r.what.peer) +
         ", \"target\": " + quoted(r.what.target.text) + ", \"any_of\": [" + limits + "]}";
}

void print_rows() {
  std::printf("{\"group\": %s, \"rows\": [", quoted(all_rows().group).c_str());
  const char* between = "\n ";
  for (const listed_row& r : all_rows().rows) {
    std::printf("%s%s", between, json_of(r).c_str());
    between = ",\n ";
  }
  std::printf("\n]}\n");
}

}  // namespace

target at_most_ns(double ns) { return {"<= " + shown(ns) + " ns", {{"ns", ns}}}; }
target at_most_times(double ratio) { return {"<= " + shown(ratio) + " x", {{"ratio", ratio}}}; }
target at_most_extra_ns(double ns) { return {"at most + " + shown(ns) + " ns", {{"extra", ns}}}; }

target operator||(const target& a, const target& b) {
  target out = a;
  out.text += " or " + (b.text.rfind("<= ", 0) == 0 ? b.text.substr(3) : b.text);
  out.any_of.insert(out.any_of.end(), b.any_of.begin(), b.any_of.end());
  return out;
}

void add_rows(const char* group, bool are_pairs, const std::vector<row>& rows) {
  all_rows().group = group;
  for (const row& r : rows) {
    std::string name = r.benchmark;
    for (const std::int64_t arg : r.args) name += "/" + std::to_string(arg);
    all_rows().rows.push_back({name, are_pairs, r});
    auto* const b = benchmark::RegisterBenchmark(r.benchmark, r.run);
    if (!r.args.empty()) b->Args(r.args);
    if (r.manual_time) b->UseManualTime();
    // Of a pair's repetitions the median, the least and the largest are reported.
    if (are_pairs && r.manual_time) b->ComputeStatistics("min", minimum_of)->ComputeStatistics("max", maximum_of);
  }
}

}  // namespace bench

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--rows") {
    bench::print_rows();
    return 0;
  }
  std::vector<std::string> words = {argv[0], "--benchmark_repetitions=9", "--benchmark_min_time=0.1",
                                    "--benchmark_report_aggregates_only=true", "--benchmark_counters_tabular=true"};
  words.insert(words.end(), argv + 1, argv + argc);
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
