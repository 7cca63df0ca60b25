#include "parked.h"

#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/once.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using baton::test::watched_agent;

// As Go's TestOnce.
TEST(Once, CallsOnceAndEverybodySeesItDone) {
  baton::run([] {
    baton::once_flag flag;
    int calls = 0;
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 20; ++i) {
      fibers.push_back(baton::spawn([&] {
        baton::call_once(flag, [&] {
          baton::this_fiber::yield();
          ++calls;
        });
        EXPECT_EQ(calls, 1);
      }));
    }
    for (auto& f : fibers) f.join();
    EXPECT_EQ(calls, 1);
  });
}

TEST(Once, PassesArgumentsAndWorksOnPlainThreads) {
  baton::once_flag flag;
  int sum = 0;
  struct adder {
    int* to;
    void add(std::unique_ptr<int> n) { *to += *n; }
  } a{&sum};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      baton::call_once(flag, &adder::add, a, std::make_unique<int>(5));
      EXPECT_EQ(sum, 5);
    });
  }
  for (auto& t : threads) t.join();
}

TEST(Once, OthersWaitForTheCallUnderWay) {
  baton::run([] {
    baton::once_flag flag;
    baton::event begun;
    baton::event go_on;
    watched_agent waiter;
    bool done = false;
    auto caller = baton::spawn([&] {
      baton::call_once(flag, [&] {
        begun.set();
        go_on.wait();
        done = true;
      });
    });
    begun.wait();
    auto other = baton::spawn([&] {
      waiter.about_to_wait();
      baton::call_once(flag, [] { FAIL(); });
      EXPECT_TRUE(done);
    });
    waiter.await_parked();
    go_on.set();
    caller.join();
    other.join();
  });
}

TEST(Once, AfterAnExceptionAnotherOneTries) {
  baton::once_flag flag;
  int tries = 0;
  const auto attempt = [&] {
    ++tries;
    if (tries < 3) throw std::runtime_error("not yet");
  };
  EXPECT_THROW(baton::call_once(flag, attempt), std::runtime_error);
  EXPECT_THROW(baton::call_once(flag, attempt), std::runtime_error);
  baton::call_once(flag, attempt);
  baton::call_once(flag, attempt);
  EXPECT_EQ(tries, 3);
}

TEST(Once, AfterAnExceptionOneThatWaitsTries) {
  baton::run([] {
    constexpr std::size_t callers = 6;
    baton::once_flag flag;
    baton::event go_on;
    std::deque<watched_agent> watch(callers);
    std::atomic<int> tries{0};
    std::atomic<int> failed{0};
    std::vector<baton::fiber<void>> fibers;
    for (std::size_t i = 0; i < callers; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        watch[i].about_to_wait();
        try {
          baton::call_once(flag, [&] {
            go_on.wait();
            if (++tries < 4) throw std::runtime_error("not yet");
          });
        } catch (const std::runtime_error&) {
          ++failed;
        }
      }));
      watch[i].await_parked();
    }
    go_on.set();
    for (auto& f : fibers) f.join();
    EXPECT_EQ(tries, 4);
    EXPECT_EQ(failed, 3);
  });
}

TEST(Once, MayBeDestroyedWhenAllHaveReturned) {
  struct shared {
    baton::once_flag flag;
    std::atomic<int> inside{4};
  };
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      auto* const s = new shared;
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 4; ++i) {
        fibers.push_back(baton::spawn([s, round] {
          try {
            baton::call_once(s->flag, [&] {
              baton::this_fiber::yield();
              if (round % 2 == 0) throw 1;
            });
          } catch (int) {
          }
          if (--s->inside == 0) delete s;
        }));
      }
      for (auto& f : fibers) f.join();
    }
  });
}

}  // namespace
