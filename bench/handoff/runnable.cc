// How many threads it takes to run fibers that never wait, on one P.
//
//   runnable kind=K fibers=N samples=S every_ms=M holder=PROGRAM
//     N fibers take a lock and give it back, again and again. Each has a lock of its own, so none ever waits:
//     mutex           lock, unlock
//     shared_mutex    the same for reading
//     With one P, one of them is to run at a time. A fiber that does not notice the end of its slice loses its P, and
//     goes on beside the next one.
//   prints
//     runnable        threads of the process that run, or wait for a CPU: the average of S samples, which another
//                     process takes, M ms apart
#include "../process_threads.h"
#include "scenarios.h"

#include <baton/baton.h>

#include <unistd.h>
#include <array>
#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

namespace handoff {

namespace {

constexpr std::int64_t settling = 300 * ms;

// Fibers that lock and unlock until the end of the scope.
template <class LockAndUnlock>
class lockers {
 public:
  lockers(int count, LockAndUnlock lock_and_unlock) {
    for (int i = 0; i < count; ++i) {
      all_.push_back(baton::spawn([this, lock_and_unlock] {
        while (!stop_.load(std::memory_order_relaxed)) lock_and_unlock();
      }));
    }
  }
  lockers(const lockers&) = delete;
  lockers& operator=(const lockers&) = delete;
  ~lockers() {
    stop_.store(true, std::memory_order_relaxed);
    for (auto& fiber : all_) fiber.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<baton::fiber<void>> all_;
};

// By this program as `watch_threads`.
double average_of(const arguments& a) {
  std::array<char, 4'096> self{};
  if (::readlink("/proc/self/exe", self.data(), self.size() - 1) < 0) die("no /proc");
  const std::string command = "exec '" + std::string(self.data()) +
                              "' watch_threads pid=" + std::to_string(::getpid()) +
                              " samples=" + a.text("samples", "30") + " every_ms=" + a.text("every_ms", "20");
  std::FILE* const watcher = ::popen(command.c_str(), "re");
  if (watcher == nullptr) die("cannot start the watcher");
  double average = -1;
  if (std::fscanf(watcher, "%lf", &average) != 1) die("the watcher has failed");
  ::pclose(watcher);
  return average;
}

template <class LockAndUnlock>
double measure_with(const arguments& a, LockAndUnlock lock_and_unlock) {
  const lockers running(a.number("fibers", 3), lock_and_unlock);
  block_ns(settling);
  return average_of(a);
}

}  // namespace

void runnable(const arguments& a, report& out) {
  // The main thread waits for the watcher: it is no M.
  static_cast<void>(baton::run([] {}, {.procs = 1}));
  const std::string kind = a.text("kind", "mutex");
  if (kind == "mutex") {
    out.add("runnable", measure_with(a, [] {
              baton::mutex m;
              m.lock();
              m.unlock();
            }));
  } else if (kind == "shared_mutex") {
    out.add("runnable", measure_with(a, [] {
              baton::shared_mutex m;
              m.lock_shared();
              m.unlock_shared();
            }));
  } else {
    die("no such kind");
  }
}

void watch_threads(const arguments& a, report&) {
  const int samples = a.number("samples", 30);
  double sum = 0;
  for (int i = 0; i < samples; ++i) {
    block_ns(a.number("every_ms", 20) * ms);
    sum += count_runnable_threads(a.number("pid", 0));
  }
  std::printf("%.3f\n", sum / samples);
  std::fflush(stdout);
  ::_exit(0);
}

}  // namespace handoff
