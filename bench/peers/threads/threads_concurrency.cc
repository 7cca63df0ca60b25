// threads_concurrency SCENARIO [key=value ...]: ../../concurrency/workloads.h with a std::thread for each fiber and
// std's locks. `procs` is the number of CPUs that the process may use.
//
// There is no channel in std: here it is a mutex, two condition variables and a std::deque; one without a buffer waits
// until its item is taken. What waits in the kernel takes so long that a part of `ops` is enough.
#include "../../concurrency/workloads.h"

#include <sched.h>
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <semaphore>
#include <shared_mutex>
#include <string>
#include <thread>

namespace {

struct threads_runtime {
  template <class F>
  static void run(int procs, F f) {
    cpu_set_t may;
    CPU_ZERO(&may);
    if (sched_getaffinity(0, sizeof may, &may) != 0) bench::die("no affinity");
    int kept = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &may) && ++kept > procs) CPU_CLR(cpu, &may);
    }
    if (sched_setaffinity(0, sizeof may, &may) != 0) bench::die("no affinity");
    f();
  }
  template <class F>
  static std::thread spawn(F f) {
    return std::thread(std::move(f));
  }
  static void join(std::thread& t) { t.join(); }
  static void yield() { std::this_thread::yield(); }

  template <class T>
  class channel {
   public:
    explicit channel(std::size_t capacity) : capacity_(capacity) {}
    void send(T v) {
      std::unique_lock guard(lock_);
      not_full_.wait(guard, [this] { return items_.size() < std::max(capacity_, std::size_t{1}); });
      items_.push_back(v);
      const std::size_t number = ++sent_;
      not_empty_.notify_one();
      if (capacity_ == 0) taken_.wait(guard, [&] { return received_ >= number; });
    }
    bool receive(T& v) {
      std::unique_lock guard(lock_);
      not_empty_.wait(guard, [this] { return !items_.empty() || closed_; });
      if (items_.empty()) return false;
      v = items_.front();
      items_.pop_front();
      ++received_;
      if (capacity_ == 0) taken_.notify_all();
      not_full_.notify_one();
      return true;
    }
    void close() {
      const std::lock_guard guard(lock_);
      closed_ = true;
      not_empty_.notify_all();
    }

   private:
    std::mutex lock_;
    std::condition_variable not_full_, not_empty_, taken_;
    std::deque<T> items_;
    std::size_t capacity_, sent_ = 0, received_ = 0;
    bool closed_ = false;
  };
  using mutex = std::mutex;
  using condition_variable = std::condition_variable;
};

// As in baton_concurrency.cc.
void semaphore(const bench::arguments& a, bench::report& out) {
  const int ops = a.number("ops", 200'000);
  threads_runtime::run(a.number("procs", 1), [&] {
    concurrency::measure(a, out, ops, [&] {
      std::counting_semaphore<> there(0), back(0);
      std::thread echo([&] {
        for (int i = 0; i < ops; ++i) {
          there.acquire();
          back.release();
        }
      });
      for (int i = 0; i < ops; ++i) {
        there.release();
        back.acquire();
      }
      echo.join();
    });
  });
}

void read_lock(const bench::arguments& a, bench::report& out) {
  const int ops = a.number("ops", 1'000'000);
  threads_runtime::run(a.number("procs", 1), [&] {
    std::shared_mutex lock;
    // The C library locks without atomics while there is one thread only.
    std::thread other([] {});
    concurrency::measure(a, out, ops, [&] {
      for (int i = 0; i < ops; ++i) const std::shared_lock guard(lock);
    });
    other.join();
  });
}

// The word "ops=N" with a part of N, unless that is little already.
std::string with_fewer_operations(const std::string& word, const std::string& scenario) {
  constexpr std::string_view key = "ops=";
  if (word.compare(0, key.size(), key) != 0) return word;
  const int ops = std::atoi(word.c_str() + key.size());
  const int divisor = scenario == "mutex" || scenario == "read_lock" ? 1
                      : scenario == "yield" || scenario == "items"   ? 10
                                                                     : 20;
  return ops < 10'000 ? word : std::string(key) + std::to_string(ops / divisor);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace concurrency;
  using rt = threads_runtime;
  constexpr bench::scenario scenarios[] = {
      {"yield", yield<rt>}, {"spawn_join", spawn_join<rt>}, {"ping_pong", ping_pong<rt>}, {"items", items<rt>},
      {"mutex", mutex<rt>}, {"condition", condition<rt>},   {"semaphore", semaphore},     {"read_lock", read_lock},
  };
  std::vector<std::string> words(argv, argv + argc);
  const std::string scenario = argc > 1 ? argv[1] : "";
  for (std::string& word : words) word = with_fewer_operations(word, scenario);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  return bench::run_scenario(scenarios, argc, arguments.data());
}
