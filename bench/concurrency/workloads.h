// The workloads, once for all runtimes in C++: each is a template over a Runtime, so what is compared is the
// same to the letter. bench/peers/go/concurrency has them in Go.
//
// A Runtime has
//   run(procs, f)                   runs f as a fiber, with so many threads that run fibers
//   spawn(f) -> fiber, join(fiber), yield(), sleep_until(time_point)
//   channel<T>(capacity)            send(T); receive(T&) -> bool; close(); capacity 0: unbuffered
//   mutex, condition_variable       as in std
//
// Each workload runs once to warm up and then `times` times; printed is what one operation took, in
// nanoseconds, of each time (or what the scenario says).
#pragma once

#include "../scenario.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace concurrency {

using namespace bench;

// body() runs `ops` operations.
template <class Body>
void measure(const arguments& a, report& out, std::int64_t ops, Body body) {
  const int times = a.number("times", 5);
  for (int i = 0; i <= times; ++i) {
    const std::int64_t begin = now_ns();
    body();
    if (i > 0) out.add("op_ns", static_cast<double>(now_ns() - begin) / static_cast<double>(ops));
  }
}

template <class Runtime, class Fiber>
void join_all(std::vector<Fiber>& fibers) {
  for (Fiber& f : fibers) Runtime::join(f);
}

template <class Runtime>
using fibers_of = std::vector<decltype(Runtime::spawn([] {}))>;

// An operation: one fiber yields once.
template <class Runtime>
void yield(const arguments& a, report& out) {
  const int fibers = a.number("fibers", 2);
  const int each = a.number("ops", 1'000'000) / fibers;
  Runtime::run(a.number("procs", 1), [&] {
    measure(a, out, std::int64_t{each} * fibers, [&] {
      fibers_of<Runtime> all;
      for (int i = 0; i < fibers; ++i) {
        all.push_back(Runtime::spawn([&] {
          for (int n = 0; n < each; ++n) Runtime::yield();
        }));
      }
      join_all<Runtime>(all);
    });
  });
}

// An operation: a fiber is made, runs, and is joined.
template <class Runtime>
void spawn_join(const arguments& a, report& out) {
  const int ops = a.number("ops", 100'000);
  Runtime::run(a.number("procs", 1), [&] {
    measure(a, out, ops, [&] {
      for (int i = 0; i < ops; ++i) {
        auto f = Runtime::spawn([] {});
        Runtime::join(f);
      }
    });
  });
}

// An operation: a round trip between two fibers over two channels without a buffer.
template <class Runtime>
void ping_pong(const arguments& a, report& out) {
  const int ops = a.number("ops", 200'000);
  Runtime::run(a.number("procs", 1), [&] {
    measure(a, out, ops, [&] {
      typename Runtime::template channel<int> there(0), back(0);
      auto echo = Runtime::spawn([&] {
        for (int v = 0; there.receive(v);) back.send(v);
      });
      for (int i = 0, v = 0; i < ops; ++i) {
        there.send(i);
        back.receive(v);
      }
      there.close();
      Runtime::join(echo);
    });
  });
}

// An operation: one item through a channel of 128, or `capacity`, from `producers` to `consumers` fibers.
template <class Runtime>
void items(const arguments& a, report& out) {
  const int producers = a.number("producers", 1);
  const int consumers = a.number("consumers", 1);
  const int each = a.number("ops", 1'000'000) / producers;
  Runtime::run(a.number("procs", 1), [&] {
    measure(a, out, std::int64_t{each} * producers, [&] {
      typename Runtime::template channel<std::int64_t> c(static_cast<std::size_t>(a.number("capacity", 128)));
      std::atomic<std::int64_t> sum{0};
      fibers_of<Runtime> makers, takers;
      for (int i = 0; i < consumers; ++i) {
        takers.push_back(Runtime::spawn([&] {
          std::int64_t mine = 0;
          for (std::int64_t v = 0; c.receive(v);) mine += v;
          sum += mine;
        }));
      }
      for (int i = 0; i < producers; ++i) {
        makers.push_back(Runtime::spawn([&] {
          for (std::int64_t v = 1; v <= each; ++v) c.send(v);
        }));
      }
      join_all<Runtime>(makers);
      c.close();
      join_all<Runtime>(takers);
      if (sum != std::int64_t{each} * (each + 1) / 2 * producers) die("items were lost");
    });
  });
}

// An operation: `fibers` fibers share one lock; one of them takes it, counts, and gives it back.
template <class Runtime>
void mutex(const arguments& a, report& out) {
  const int fibers = a.number("fibers", 100);
  const int each = a.number("ops", 1'000'000) / fibers;
  Runtime::run(a.number("procs", 1), [&] {
    measure(a, out, std::int64_t{each} * fibers, [&] {
      typename Runtime::mutex lock;
      std::int64_t count = 0;
      fibers_of<Runtime> all;
      for (int i = 0; i < fibers; ++i) {
        all.push_back(Runtime::spawn([&] {
          for (int n = 0; n < each; ++n) {
            const std::lock_guard guard(lock);
            ++count;
          }
        }));
      }
      join_all<Runtime>(all);
      if (count != std::int64_t{each} * fibers) die("the lock does not lock");
    });
  });
}

// An operation: a round trip between two fibers that wait for their turn with a condition variable.
template <class Runtime>
void condition(const arguments& a, report& out) {
  const int ops = a.number("ops", 200'000);
  Runtime::run(a.number("procs", 1), [&] {
    measure(a, out, ops, [&] {
      typename Runtime::mutex lock;
      typename Runtime::condition_variable changed;
      int turn = 0;
      const auto take_turns = [&](int me) {
        for (int i = 0; i < ops; ++i) {
          std::unique_lock guard(lock);
          changed.wait(guard, [&] { return turn == me; });
          turn = 1 - me;
          guard.unlock();
          changed.notify_one();
        }
      };
      auto other = Runtime::spawn([&] { take_turns(1); });
      take_turns(0);
      Runtime::join(other);
    });
  });
}

// `fibers` sleep for 1 to 1,000 ms, again and again, for `seconds`; printed is how late they woke, in
// microseconds, from the second second on: one value in a hundred.
template <class Runtime>
void sleepers(const arguments& a, report& out) {
  using clock = std::chrono::steady_clock;
  const int fibers = a.number("fibers", 100'000);
  const std::int64_t length = a.number("seconds", 4) * 1'000 * ms;
  std::mutex lock;
  Runtime::run(a.number("procs", 1), [&] {
    const std::int64_t begin = now_ns();
    fibers_of<Runtime> all;
    for (int i = 0; i < fibers; ++i) {
      all.push_back(Runtime::spawn([&, i] {
        std::uint32_t dice = static_cast<std::uint32_t>(i) * 2'654'435'761U + 1;
        std::vector<double> late;
        while (now_ns() - begin < length) {
          dice = dice * 1'664'525U + 1'013'904'223U;
          const auto until = clock::now() + std::chrono::milliseconds(1 + (dice >> 16) % 1'000);
          Runtime::sleep_until(until);
          const std::chrono::duration<double, std::micro> lateness = clock::now() - until;
          if (i % 100 == 0 && now_ns() - begin > 1'500 * ms) late.push_back(lateness.count());
        }
        const std::lock_guard guard(lock);
        for (const double v : late) out.add("late_us", v);
      }));
    }
    join_all<Runtime>(all);
  });
}

template <class Runtime>
void skynet_node(typename Runtime::template channel<std::int64_t>& sum, std::int64_t number, std::int64_t size) {
  if (size == 1) {
    sum.send(number);
    return;
  }
  typename Runtime::template channel<std::int64_t> children(10);
  for (int i = 0; i < 10; ++i) {
    const std::int64_t child = number + i * (size / 10);
    Runtime::go([&children, child, size] { skynet_node<Runtime>(children, child, size / 10); });
  }
  std::int64_t total = 0;
  for (int i = 0; i < 10; ++i) {
    std::int64_t v = 0;
    children.receive(v);
    total += v;
  }
  sum.send(total);
}

// A tree of fibers, ten below each, `leaves` at the bottom; each sends the sum of its children up. Printed is
// how long a tree takes, in milliseconds, the first time and afterwards (stacks kept).
template <class Runtime>
void skynet(const arguments& a, report& out) {
  const std::int64_t leaves = a.number("leaves", 1'000'000);
  Runtime::run(a.number("procs", 1), [&] {
    for (int i = 0; i <= a.number("times", 2); ++i) {
      typename Runtime::template channel<std::int64_t> top(1);
      const std::int64_t begin = now_ns();
      Runtime::go([&] { skynet_node<Runtime>(top, 0, leaves); });
      std::int64_t sum = 0;
      top.receive(sum);
      out.add(i == 0 ? "first_ms" : "again_ms", in_ms(now_ns() - begin));
      if (sum != leaves * (leaves - 1) / 2) die("skynet's sum is wrong");
    }
  });
}

}  // namespace concurrency
