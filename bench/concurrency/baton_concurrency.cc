// baton_concurrency SCENARIO [key=value ...]: workloads.h with baton, and what only baton and Go have.
#include "workloads.h"

#include <baton/baton.h>

#include <algorithm>
#include <array>
#include <optional>
#include <shared_mutex>
#include <thread>
#include <utility>

namespace concurrency {

namespace {

struct baton_runtime {
  template <class F>
  static void run(int procs, F f) {
    baton::run(f, {.procs = procs});
  }
  template <class F>
  static auto spawn(F f) {
    return baton::spawn(std::move(f));
  }
  template <class F>
  static void go(F f) {
    baton::go(std::move(f));
  }
  static void join(baton::fiber<void>& f) { f.join(); }
  static void yield() { baton::this_fiber::yield(); }
  static void sleep_until(std::chrono::steady_clock::time_point t) { baton::this_fiber::sleep_until(t); }

  template <class T>
  class channel {
   public:
    explicit channel(std::size_t capacity) : c_(capacity) {}
    void send(T v) { c_.send(v); }
    bool receive(T& v) {
      const std::optional<T> got = c_.receive();
      if (got) v = *got;
      return got.has_value();
    }
    void close() { c_.close(); }

   private:
    baton::channel<T> c_;
  };
  using mutex = baton::mutex;
  using condition_variable = baton::condition_variable;
};

// An operation: a round trip between two fibers through two semaphores.
void semaphore(const arguments& a, report& out) {
  const int ops = a.number("ops", 200'000);
  baton_runtime::run(a.number("procs", 1), [&] {
    measure(a, out, ops, [&] {
      baton::semaphore there(0), back(0);
      auto echo = baton::spawn([&] {
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

// An operation: one consumer takes an item from one of four channels, each of which has a producer.
void select(const arguments& a, report& out) {
  const int each = a.number("ops", 400'000) / 4;
  const auto capacity = static_cast<std::size_t>(a.number("capacity", 128));
  baton_runtime::run(a.number("procs", 1), [&] {
    measure(a, out, std::int64_t{each} * 4, [&] {
      using numbers = baton::channel<std::int64_t>;
      const std::array<numbers, 4> c{numbers(capacity), numbers(capacity), numbers(capacity), numbers(capacity)};
      std::vector<baton::fiber<void>> producers;
      for (const numbers& one : c) {
        producers.push_back(baton::spawn([&] {
          for (std::int64_t v = 1; v <= each; ++v) one.send(v);
        }));
      }
      std::int64_t sum = 0;
      const auto add = [&](std::optional<std::int64_t> v) { sum += *v; };
      for (int i = 0; i < each * 4; ++i) {
        baton::select(baton::on_receive(c[0], add), baton::on_receive(c[1], add), baton::on_receive(c[2], add),
                      baton::on_receive(c[3], add));
      }
      join_all<baton_runtime>(producers);
      if (sum != std::int64_t{each} * (each + 1) / 2 * 4) die("items were lost");
    });
  });
}

// An operation: a timer of an hour is made and stopped.
void timer(const arguments& a, report& out) {
  const int ops = a.number("ops", 500'000);
  baton_runtime::run(a.number("procs", 1), [&] {
    measure(a, out, ops, [&] {
      for (int i = 0; i < ops; ++i) {
        baton::timer t = baton::after_func(std::chrono::hours(1), [] {});
        if (!t.stop()) die("a timer of an hour has fired");
      }
    });
  });
}

// An operation: a read lock is taken and given back; no other fiber wants it.
template <class Mutex>
void read_lock_with(const arguments& a, report& out) {
  const int ops = a.number("ops", 1'000'000);
  baton_runtime::run(a.number("procs", 1), [&] {
    Mutex lock;
    measure(a, out, ops, [&] {
      for (int i = 0; i < ops; ++i) const std::shared_lock guard(lock);
    });
  });
}
void read_lock(const arguments& a, report& out) { read_lock_with<baton::shared_mutex>(a, out); }

// Two fibers make a context below another one, with a function for its end, and drop both, for `ms` of time. Blocks
// with one parent for both fibers, as requests have below the context of their server, and blocks with a parent for
// each take turns. Prints shared_ns and own_ns, the wall time of one context in either, and share, the rate with one
// parent divided by the rate with two, in percent.
double ns_of_context(const std::array<baton::context, 2>& parents, std::int64_t length) {
  std::atomic<std::int64_t> made{0};
  std::vector<baton::fiber<void>> all;
  const std::int64_t begin = now_ns();
  for (const baton::context& parent : parents) {
    all.push_back(baton::spawn([&] {
      std::int64_t mine = 0;
      for (; now_ns() - begin < length; baton::this_fiber::yield()) {
        for (int i = 0; i < 64; ++i, ++mine) {
          const baton::context request = baton::with_cancel(parent);
          const baton::on_cancel hang_up(request, [] {});
        }
      }
      made += mine;
    }));
  }
  join_all<baton_runtime>(all);
  return static_cast<double>(now_ns() - begin) / static_cast<double>(made);
}
void contexts(const arguments& a, report& out) {
  const std::int64_t length = a.number("ms", 100) * ms;
  baton_runtime::run(a.number("procs", 2), [&] {
    const auto server = baton::with_cancel({}), other = baton::with_cancel({});
    for (int block = 0; block <= a.number("times", 3); ++block) {
      double shared = 0, own = 0;
      for (int half = 0; half < 2; ++half) {
        if (half == block % 2) {
          shared = ns_of_context({server, server}, length);
        } else {
          own = ns_of_context({server, other}, length);
        }
      }
      if (block == 0) continue;  // warms up
      out.add("shared_ns", shared);
      out.add("own_ns", own);
      out.add("share", 100 * own / shared);
    }
  });
}

// `fibers` fibers sleep until the same due time. One more yields and looks at the clock. Prints the longest time for
// which it did not run, in milliseconds: before_ms in the 100 ms before the due time, and gap_ms from then on until all
// have run. last_ms is how long after the due time the last one ran.
void storm(const arguments& a, report& out) {
  const int fibers = a.number("fibers", 300'000);
  const baton::attributes small{.stack_size = std::size_t{16} * 1024};
  baton_runtime::run(a.number("procs", 1), [&] {
    // If starting them takes longer than this, they are started once more.
    for (std::int64_t ahead = std::max<std::int64_t>(fibers / 200, 200) * ms;; ahead *= 2) {
      const std::int64_t due = now_ns() + ahead;
      const std::chrono::steady_clock::time_point when{std::chrono::nanoseconds(due)};
      std::atomic<int> asleep{0}, done{0};
      for (int i = 1; i <= fibers; ++i) {
        baton::go(small, [&] {
          asleep.fetch_add(1, std::memory_order_relaxed);
          baton::this_fiber::sleep_until(when);
          done.fetch_add(1);
        });
        if (i % 64 == 0) baton::this_fiber::yield();
      }
      while (asleep < fibers) baton::this_fiber::yield();
      const bool in_time = now_ns() < due - 100 * ms;
      if (in_time) baton::this_fiber::sleep_until(when - std::chrono::milliseconds(100));
      std::int64_t before = 0, gap = 0;
      for (std::int64_t last = now_ns(); done < fibers;) {
        baton::this_fiber::yield();
        const std::int64_t now = now_ns();
        std::int64_t& longest = last < due && now < due ? before : gap;
        longest = std::max(longest, now - std::exchange(last, now));
      }
      if (!in_time) continue;
      out.add("before_ms", in_ms(before));
      out.add("gap_ms", in_ms(gap));
      out.add("last_ms", in_ms(now_ns() - due));
      return;
    }
  });
}

// The primitive under locks: one atomic word, taken and given back by compare-and-swap. A second thread
// exists, as in every program that needs locks.
void cas_pair(const arguments& a, report& out) {
  const int ops = a.number("ops", 1'000'000);
  std::atomic<int> word{0};
  baton_runtime::run(a.number("procs", 1), [&] {
    measure(a, out, ops, [&] {
      for (int i = 0; i < ops; ++i) {
        int expected = 0;
        if (!word.compare_exchange_strong(expected, 1, std::memory_order_acquire)) die("nobody else is here");
        expected = 1;
        if (!word.compare_exchange_strong(expected, 0, std::memory_order_release)) die("nobody else is here");
      }
    });
  });
}

}  // namespace
}  // namespace concurrency

int main(int argc, char** argv) {
  using namespace concurrency;
  using rt = baton_runtime;
  constexpr bench::scenario scenarios[] = {
      {"yield", yield<rt>},
      {"spawn_join", spawn_join<rt>},
      {"ping_pong", ping_pong<rt>},
      {"items", items<rt>},
      {"mutex", mutex<rt>},
      {"condition", condition<rt>},
      {"sleepers", sleepers<rt>},
      {"skynet", skynet<rt>},
      {"semaphore", semaphore},
      {"select", select},
      {"timer", timer},
      {"read_lock", read_lock},
      {"contexts", contexts},
      {"storm", storm},
      {"cas_pair", cas_pair},
  };
  return bench::run_scenario(scenarios, argc, argv);
}
