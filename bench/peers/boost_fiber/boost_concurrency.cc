// boost_concurrency SCENARIO [key=value ...]: ../../concurrency/workloads.h with Boost.Fiber, set up as its manual
// says: round_robin on one thread; work_stealing on several, whose threads wait on a condition variable of
// fibers until the end. Stacks come from a pool (pooled_fixedsize_stack), 64 KiB each, without guard pages:
// its protected ones end at 32,745 fibers.
#include "../../concurrency/workloads.h"

#include <boost/fiber/all.hpp>
#include <boost/version.hpp>

#include <cstdio>
#include <memory>
#include <string_view>
#include <thread>

namespace {

struct boost_runtime {
  static boost::fibers::pooled_fixedsize_stack& stacks() {
    // One pool for each thread: it is not locked, and a fiber's stack goes back where the pool of its maker is,
    // so with several threads plain stacks are used instead.
    thread_local boost::fibers::pooled_fixedsize_stack pool(64 * 1024);
    return pool;
  }
  static inline bool alone = true;

  template <class F>
  static void run(int procs, F f) {
    alone = procs == 1;
    if (alone) {
      f();
      return;
    }
    boost::fibers::mutex lock;
    boost::fibers::condition_variable ended;
    bool over = false;
    std::vector<std::thread> threads;
    for (int i = 1; i < procs; ++i) {
      threads.emplace_back([&] {
        boost::fibers::use_scheduling_algorithm<boost::fibers::algo::work_stealing>(procs, true);
        std::unique_lock guard(lock);
        ended.wait(guard, [&] { return over; });
      });
    }
    boost::fibers::use_scheduling_algorithm<boost::fibers::algo::work_stealing>(procs, true);
    f();
    {
      const std::lock_guard guard(lock);
      over = true;
    }
    ended.notify_all();
    for (std::thread& t : threads) t.join();
  }
  template <class F>
  static boost::fibers::fiber spawn(F f) {
    if (alone) return boost::fibers::fiber(boost::fibers::launch::post, std::allocator_arg, stacks(), std::move(f));
    return boost::fibers::fiber(boost::fibers::launch::post, std::allocator_arg,
                                boost::fibers::fixedsize_stack(64 * 1024), std::move(f));
  }
  template <class F>
  static void go(F f) {
    spawn(std::move(f)).detach();
  }
  static void join(boost::fibers::fiber& f) { f.join(); }
  static void yield() { boost::this_fiber::yield(); }
  static void sleep_until(std::chrono::steady_clock::time_point t) { boost::this_fiber::sleep_until(t); }

  // Boost has two classes; a buffered one holds one item less than its size, a power of two.
  template <class T>
  class channel {
   public:
    explicit channel(std::size_t capacity) {
      std::size_t size = 2;
      while (size <= capacity) size *= 2;
      if (capacity == 0) {
        direct_ = std::make_unique<boost::fibers::unbuffered_channel<T>>();
      } else {
        buffered_ = std::make_unique<boost::fibers::buffered_channel<T>>(size);
      }
    }
    void send(T v) {
      if (direct_) {
        direct_->push(v);
      } else {
        buffered_->push(v);
      }
    }
    bool receive(T& v) {
      return (direct_ ? direct_->pop(v) : buffered_->pop(v)) == boost::fibers::channel_op_status::success;
    }
    void close() {
      if (direct_) direct_->close();
      if (buffered_) buffered_->close();
    }

   private:
    std::unique_ptr<boost::fibers::unbuffered_channel<T>> direct_;
    std::unique_ptr<boost::fibers::buffered_channel<T>> buffered_;
  };
  using mutex = boost::fibers::mutex;
  using condition_variable = boost::fibers::condition_variable;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::puts("Boost.Fiber " BOOST_LIB_VERSION);
    return 0;
  }
  using namespace concurrency;
  using rt = boost_runtime;
  constexpr bench::scenario scenarios[] = {
      {"yield", yield<rt>}, {"spawn_join", spawn_join<rt>}, {"ping_pong", ping_pong<rt>}, {"items", items<rt>},
      {"mutex", mutex<rt>}, {"condition", condition<rt>},   {"sleepers", sleepers<rt>},   {"skynet", skynet<rt>},
  };
  return bench::run_scenario(scenarios, argc, argv);
}
