// What the watching costs.
//
//   short_calls fibers=N ms=M
//     N fibers on one P make short declared calls (getpid) as fast as they can, and yield after each
//     hundred of them: with one, nothing ever waits; with more, work always does.
//     retakes          per 10,000 calls
//     watcher_percent  CPU of the watching thread (the monitor; Go's sysmon), of a core
//     watcher_wakes    of that thread, per second
//     ratio            its CPU, relative to a bare thread of this process that sleeps just as often at
//                      the same time: per wake of each, because their paces differ by a little
//   idle seconds=S
//     cpu_ms           of the whole process while its only fiber sleeps for S seconds
#include "../process_threads.h"
#include "scenarios.h"

#include <baton/baton.h>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

namespace handoff {

namespace {

std::string task_file(pid_t task, const char* name) { return "/proc/self/task/" + std::to_string(task) + "/" + name; }

// The oldest of that name: what it starts has its name, too, for a moment.
pid_t task_named(const std::string& wanted) {
  pid_t found = 0;
  for_each_thread(::getpid(), [&](pid_t task) {
    std::string name;
    if (found != 0 && found < task) return;
    if (std::getline(std::ifstream(task_file(task, "comm")), name) && name == wanted) found = task;
  });
  if (found == 0) die("there is no thread of the wanted name");
  return found;
}

struct thread_cost {
  double cpu_ns = 0;
  double sleeps = 0;
};

thread_cost read_cost(pid_t task) {
  thread_cost c;
  std::ifstream(task_file(task, "schedstat")) >> c.cpu_ns;
  std::ifstream status(task_file(task, "status"));
  const std::string wanted = "voluntary_ctxt_switches:";
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, wanted.size(), wanted) == 0) c.sleeps = std::atof(line.c_str() + wanted.size());
  }
  return c;
}

thread_cost operator-(const thread_cost& a, const thread_cost& b) { return {a.cpu_ns - b.cpu_ns, a.sleeps - b.sleeps}; }

// A thread that does nothing but sleep again and again.
class bare_thread {
 public:
  explicit bare_thread(std::int64_t period_ns)
      : thread_([this, period_ns] {
          task_.store(static_cast<pid_t>(::syscall(SYS_gettid)));
          prctl(PR_SET_TIMERSLACK, 1);
          while (!stop_.load()) block_ns(period_ns);
        }) {
    while (task_.load() == 0) block_ns(100 * us);
  }
  bare_thread(const bare_thread&) = delete;
  bare_thread& operator=(const bare_thread&) = delete;
  ~bare_thread() {
    stop_.store(true);
    thread_.join();
  }
  [[nodiscard]] pid_t task() const { return task_.load(); }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<pid_t> task_{0};
  std::thread thread_;
};

// The fibers that make short calls until the end of the scope.
class callers {
 public:
  explicit callers(int count) {
    for (int i = 0; i < count; ++i) {
      all_.push_back(baton::spawn([this] {
        while (!stop_.load(std::memory_order_relaxed)) {
          for (int n = 0; n < 100; ++n) baton::blocking([] { ::syscall(SYS_getpid); });
          hundreds_.fetch_add(1, std::memory_order_relaxed);
          baton::this_fiber::yield();
        }
      }));
    }
  }
  callers(const callers&) = delete;
  callers& operator=(const callers&) = delete;
  ~callers() {
    stop_.store(true);
    for (auto& fiber : all_) fiber.join();
  }
  [[nodiscard]] double calls() const { return 100 * static_cast<double>(hundreds_.load()); }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> hundreds_{0};
  std::vector<baton::fiber<void>> all_;
};

void measure_short_calls(int fibers, std::int64_t length, report& out) {
  const pid_t monitor = task_named("baton-monitor");
  const callers calling(fibers);

  // How often it wakes: the bare thread's pace.
  block_ns(length / 5);
  const thread_cost pace_begin = read_cost(monitor);
  block_ns(length / 5);
  const double wakes = std::max(1.0, (read_cost(monitor) - pace_begin).sleeps);
  const bare_thread bare(static_cast<std::int64_t>(static_cast<double>(length / 5) / wakes));

  const std::uint64_t retakes = baton::stats().retakes;
  const double calls = calling.calls();
  const std::int64_t begin = now_ns();
  const thread_cost watcher_begin = read_cost(monitor);
  const thread_cost bare_begin = read_cost(bare.task());
  block_ns(length);
  const thread_cost watcher = read_cost(monitor) - watcher_begin;
  const thread_cost beside = read_cost(bare.task()) - bare_begin;
  const auto passed = static_cast<double>(now_ns() - begin);

  const double made = calling.calls() - calls;
  out.add("retakes", static_cast<double>(baton::stats().retakes - retakes) * 10'000 / made);
  out.add("calls", made);
  out.add("watcher_percent", 100 * watcher.cpu_ns / passed);
  out.add("watcher_wakes", watcher.sleeps * 1e9 / passed);
  out.add("bare_wakes", beside.sleeps * 1e9 / passed);
  if (watcher.sleeps > 0 && beside.sleeps > 0) {
    out.add("ratio", watcher.cpu_ns / watcher.sleeps / (beside.cpu_ns / beside.sleeps));
  }
}

}  // namespace

void short_calls(const arguments& a, report& out) {
  // The measuring code runs on a plain thread. A fiber would count as work that waits.
  static_cast<void>(baton::run([] {}, {.procs = 1}));
  measure_short_calls(a.number("fibers", 1), a.number("ms", 1'000) * ms, out);
}

void idle(const arguments& a, report& out) {
  baton::run(
      [&] {
        baton::this_fiber::sleep_for(std::chrono::milliseconds(200));
        const std::int64_t before = read_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        baton::this_fiber::sleep_for(std::chrono::seconds(a.number("seconds", 3)));
        out.add("cpu_ms", in_ms(read_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before));
      },
      {.procs = 2});
}

}  // namespace handoff
