// What very many parked fibers cost: memory, time to create them, time to wake them and let them finish.
//
//   memory_bench [--fibers N] [--stack BYTES] [--procs P] [--json FILE]
//   memory_bench --rows     prints the rows of the table as JSON and measures nothing
//
// Each stack size (64 KiB and the default, or the one given) is measured in a process of its own, in
// two rounds: the first maps and touches every stack, the second finds them kept.
//
// A round: one fiber starts N fibers, which wait for one event each alone (N nodes in its list), and
// then lets them run until all of them wait; that ends `create`. Memory is read: VmRSS (pages that the
// process holds) and VmPTE (page tables, which stacks with one page touched each make large), minus
// what the process held before the first round. Then the event is set; `wake` ends when the last fiber
// has said that it is done.
//
// Beside it, in a process of its own, the floor: mappings of the same size without guards, of which one
// page per stack is touched. No program can save what the kernel takes for those pages.
#include "clock.h"
#include "process_memory.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

extern char** environ;

namespace {

using bench::clock_type;
using bench::seconds_since;

// A row of the table: one for each round that it belongs to. bench/driver/memory.py fills it with `figure` of what
// append_json() writes.
struct row {
  const char* name;
  const char* figure;
  const char* unit;
  const char* floor;       // what the floor's figure of the first round is called; empty: it has none
  double at_most;          // with stacks of 64 KiB; 0: not judged
  bool for_a_million;      // at_most is for a million fibers: it is scaled
  bool has_to_be_guarded;  // it is not reached if stacks have no guards, or fibers do not wait
  int judged_rounds;       // the first one, or both
  int rounds;
};

constexpr row rows[] = {
    {"memory per parked fiber", "bytes_per_fiber", "B", "a page each", 4'800, false, true, 1, 2},
    {"create", "create_s", "s", "a page touched each", 5, true, false, 1, 2},
    {"wake and finish", "wake_s", "s", "", 0.8, true, false, 2, 2},
    {"stacks without a guard", "without_guard", "", "", 0, false, false, 0, 1},
    {"threads of the process", "threads", "", "", 0, false, false, 0, 1},
};

int print_rows() {
  const char* between = "[";
  for (const row& r : rows) {
    std::printf(
        "%s{\"name\": \"%s\", \"figure\": \"%s\", \"unit\": \"%s\", \"floor\": \"%s\", \"at_most\": %g, "
        "\"for_a_million\": %s, \"has_to_be_guarded\": %s, \"judged_rounds\": %d, \"rounds\": %d}",
        between, r.name, r.figure, r.unit, r.floor, r.at_most, r.for_a_million ? "true" : "false",
        r.has_to_be_guarded ? "true" : "false", r.judged_rounds, r.rounds);
    between = ",\n ";
  }
  std::printf("]\n");
  return 0;
}

struct arguments {
  std::int64_t fibers = 1'000'000;
  std::int64_t stack = -1;  // bytes; 0: the default; -1: 64 KiB and the default
  int procs = 1;
  std::string json;
  bool one = false;    // this process measures, and does not start others
  bool floor = false;  // the same, for the bare mappings
};

struct round_result {
  double create_s = 0;
  double wake_s = 0;
  bench::process_memory parked;
  baton::runtime_stats stats;
};

// A round in a fiber. Throws std::bad_alloc when no more stacks are to be had.
round_result measure(const arguments& a) {
  round_result r;
  baton::event gate;
  baton::wait_group all;
  std::atomic<std::int64_t> arrived{0};
  const auto others = baton::stats().fibers;
  const baton::attributes with{.stack_size = static_cast<std::size_t>(a.stack)};
  all.add(static_cast<int>(a.fibers));
  auto begin = clock_type::now();
  for (std::int64_t i = 1; i <= a.fibers; ++i) {
    baton::go(with, [&gate, &all, &arrived] {
      arrived.fetch_add(1, std::memory_order_relaxed);
      gate.wait();
      all.done();
    });
    // They are to park as they come, as in a server, not to pile up in the run queue.
    if (i % 64 == 0) baton::this_fiber::yield();
  }
  while (arrived.load(std::memory_order_relaxed) < a.fibers) baton::this_fiber::yield();
  r.create_s = seconds_since(begin);
  r.stats = baton::stats();
  r.parked = bench::process_memory();

  begin = clock_type::now();
  gate.set();
  all.wait();
  r.wake_s = seconds_since(begin);
  while (baton::stats().fibers > others) baton::this_fiber::yield();
  return r;
}

// Null: not wanted.
std::FILE* open_json(const arguments& a) {
  if (a.json.empty()) return nullptr;
  std::FILE* const f = std::fopen(a.json.c_str(), "a");
  if (f == nullptr) {
    std::perror(a.json.c_str());
    std::exit(1);
  }
  return f;
}

void append_json(const arguments& a, std::size_t stack, int round, const round_result& r, std::int64_t per_fiber) {
  std::FILE* const f = open_json(a);
  if (f == nullptr) return;
  // A JSON object a line.
  std::fprintf(f,
               "{\"fibers\": %lld, \"stack\": %zu, \"procs\": %d, \"round\": %d, \"create_s\": %.6f, \"wake_s\": %.6f, "
               "\"parked\": %llu, \"bytes_per_fiber\": %lld, \"threads\": %llu, \"guard\": \"%s\", "
               "\"unguarded\": %llu}\n",
               static_cast<long long>(a.fibers), stack, a.procs, round, r.create_s, r.wake_s,
               static_cast<unsigned long long>(r.stats.fibers_parked), static_cast<long long>(per_fiber),
               static_cast<unsigned long long>(r.stats.threads), r.stats.guard,
               static_cast<unsigned long long>(r.stats.stacks_unguarded));
  std::fclose(f);
}

std::size_t stack_size_of(const arguments& a) {
  return a.stack != 0 ? static_cast<std::size_t>(a.stack) : baton::options().stack_size;
}

int measure_floor(const arguments& a) {
  constexpr std::size_t region = std::size_t{64} << 20;
  const std::size_t stack = stack_size_of(a);
  if (stack > region) return 0;
  const bench::process_memory before;
  const auto begin = clock_type::now();
  for (std::int64_t left = a.fibers; left > 0;) {
    void* const base =
        mmap(nullptr, region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
      std::perror("mmap");
      return 1;
    }
    madvise(base, region, MADV_NOHUGEPAGE);
    for (std::size_t at = stack; at <= region && left > 0; at += stack, --left) {
      static_cast<volatile char*>(base)[at - 64] = 1;
    }
  }
  const double seconds = seconds_since(begin);
  const std::int64_t per_stack = (bench::process_memory().total() - before.total()) / a.fibers;
  std::printf("%10lld %9zu floor %10s %9.3f %9s %8s %6s %8lld\n", static_cast<long long>(a.fibers), stack, "", seconds,
              "", "", "", static_cast<long long>(per_stack));
  if (std::FILE* const f = open_json(a)) {
    std::fprintf(f,
                 "{\"fibers\": %lld, \"stack\": %zu, \"floor\": true, \"create_s\": %.6f, \"bytes_per_fiber\": %lld}\n",
                 static_cast<long long>(a.fibers), stack, seconds, static_cast<long long>(per_stack));
    std::fclose(f);
  }
  return 0;
}

int measure_here(const arguments& a) {
  const std::size_t stack = stack_size_of(a);
  baton::run([] {}, {.procs = a.procs});
  const bench::process_memory before;
  const int rounds = 2;
  for (int round = 1; round <= rounds; ++round) {
    round_result r;
    try {
      baton::run([&] { r = measure(a); });
    } catch (const std::bad_alloc&) {
      std::printf("%10lld %9zu %5d  no memory for so many stacks\n", static_cast<long long>(a.fibers), stack, round);
      // The fibers that there are still wait for an event that is gone.
      std::fflush(stdout);
      std::_Exit(1);
    }
    const std::int64_t rss = (r.parked.rss - before.rss) / a.fibers;
    const std::int64_t tables = (r.parked.page_tables - before.page_tables) / a.fibers;
    const std::int64_t total = (r.parked.total() - before.total()) / a.fibers;
    std::printf("%10lld %9zu %5d %10llu %9.3f %9.3f %8lld %6lld %8lld %8llu  %s, %llu without\n",
                static_cast<long long>(a.fibers), stack, round, static_cast<unsigned long long>(r.stats.fibers_parked),
                r.create_s, r.wake_s, static_cast<long long>(rss), static_cast<long long>(tables),
                static_cast<long long>(total), static_cast<unsigned long long>(r.stats.threads), r.stats.guard,
                static_cast<unsigned long long>(r.stats.stacks_unguarded));
    std::fflush(stdout);
    append_json(a, stack, round, r, total);
  }
  return 0;
}

// This program again, for one stack size. `what`: --one or --floor.
int measure_apart(const arguments& a, const char* what, std::int64_t stack) {
  std::vector<std::string> words = {
      "memory_bench",         what, "--fibers", std::to_string(a.fibers), "--stack", std::to_string(stack), "--procs",
      std::to_string(a.procs)};
  if (!a.json.empty()) words.insert(words.end(), {"--json", a.json});
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  if (const int error = posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, argv.data(), environ); error != 0) {
    std::fprintf(stderr, "memory_bench: cannot start itself: %s\n", std::strerror(error));
    return 1;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) std::fprintf(stderr, "memory_bench: ended by signal %d\n", WTERMSIG(status));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

[[noreturn]] void usage() {
  std::fputs("memory_bench [--rows] [--fibers N] [--stack BYTES, 0: the default] [--procs P] [--json FILE]\n", stderr);
  std::exit(2);
}

arguments parse(int argc, char** argv) {
  arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--one") {
      a.one = true;
      continue;
    }
    if (word == "--floor") {
      a.floor = true;
      continue;
    }
    if (i + 1 == argc) usage();
    const char* const value = argv[++i];
    if (word == "--fibers") {
      a.fibers = std::strtoll(value, nullptr, 10);
    } else if (word == "--stack") {
      a.stack = std::strtoll(value, nullptr, 10);
    } else if (word == "--procs") {
      a.procs = std::atoi(value);
    } else if (word == "--json") {
      a.json = value;
    } else {
      usage();
    }
  }
  if (a.fibers < 1 || a.procs < 1) usage();
  return a;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--rows") return print_rows();
  const arguments a = parse(argc, argv);
  if (a.one) return measure_here(a);
  if (a.floor) return measure_floor(a);
  std::printf("%10s %9s %5s %10s %9s %9s %8s %6s %8s %8s  %s\n", "fibers", "stack", "round", "parked", "create s",
              "wake s", "rss B", "pte B", "B/fiber", "threads", "guard");
  std::fflush(stdout);
  std::vector<std::int64_t> stacks = {std::int64_t{64} * 1024, 0};
  if (a.stack >= 0) stacks = {a.stack};
  int failed = 0;
  for (const std::int64_t stack : stacks) {
    failed |= measure_apart(a, "--floor", stack);
    failed |= measure_apart(a, "--one", stack);
  }
  return failed;
}
