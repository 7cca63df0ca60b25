// threads_parked_memory parked|spike [key=value ...]: ../../parked_memory/parked.h with a std::thread for each fiber,
// which waits for a condition variable. The figures do not include what the kernel itself keeps for a thread, such as
// its stack of 16 KiB.
#include "../../parked_memory/parked.h"

#include <pthread.h>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace {

struct threads_runtime {
  static inline std::vector<std::thread> all;

  template <class F>
  static void run(int /*procs*/, F f) {
    f();
  }
  template <class F>
  static void go(F f) {
    all.emplace_back(std::move(f));
  }
  static void yield() { std::this_thread::yield(); }
  static void settle() {
    for (std::thread& t : all) t.join();
    all.clear();
  }

  class gate {
   public:
    void wait() {
      std::unique_lock guard(lock_);
      opened_.wait(guard, [this] { return open_; });
    }
    void open() {
      {
        const std::lock_guard guard(lock_);
        open_ = true;
      }
      opened_.notify_all();
    }

   private:
    std::mutex lock_;
    std::condition_variable opened_;
    bool open_ = false;
  };

  class all_done {
   public:
    explicit all_done(std::int64_t count) : left_(count) {}
    void done() {
      const std::lock_guard guard(lock_);
      if (--left_ == 0) none_left_.notify_one();
    }
    void wait() {
      std::unique_lock guard(lock_);
      none_left_.wait(guard, [this] { return left_ == 0; });
    }

   private:
    std::mutex lock_;
    std::condition_variable none_left_;
    std::int64_t left_;
  };
};

void spike(const bench::arguments& a, bench::report& out) {
  pthread_attr_t with;
  if (pthread_attr_init(&with) != 0 || pthread_attr_setstacksize(&with, std::size_t{8} << 20) != 0 ||
      pthread_setattr_default_np(&with) != 0) {
    bench::die("cannot set the size of stacks");
  }
  pthread_attr_destroy(&with);
  parked_memory::spike<threads_runtime>(a, out);
}

}  // namespace

int main(int argc, char** argv) {
  constexpr bench::scenario scenarios[] = {{"parked", parked_memory::parked<threads_runtime>}, {"spike", spike}};
  return bench::run_scenario(scenarios, argc, argv);
}
