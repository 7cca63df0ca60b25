// A library in C that calls back: from a thread of its own, and into the fiber that called it.
#include "foreign_library.h"

#include <baton/baton.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

// The library's thread sends and receives, waits for locks and joins, as a fiber would.
TEST(Callbacks, ALibrarysOwnThreadCallsIntoBatonAndBack) {
  struct shared {
    baton::channel<int> questions;
    baton::channel<int> answers;
    baton::mutex lock;
    int sum = 0;
  };
  baton::run([] {
    shared s;
    auto answering = baton::spawn([&] {
      while (const auto n = s.questions.receive()) {
        baton::this_fiber::yield();
        s.answers.send(*n * 10);
      }
    });
    const auto event = [](void* arg, int n) {
      auto& with = *static_cast<shared*>(arg);
      with.questions.send(n);
      const auto answer = with.answers.receive();
      auto checked = baton::spawn([&with, n, answer] {
        const std::lock_guard hold(with.lock);
        EXPECT_EQ(answer, n * 10);
        with.sum += answer.value_or(0);
      });
      checked.join();
    };
    foreign_source* const source = foreign_start(50, event, &s);
    ASSERT_NE(source, nullptr);
    foreign_join(source);  // undeclared: pthread_join() is wrapped
    s.questions.close();
    answering.join();
    EXPECT_EQ(s.sum, 50 * 51 / 2 * 10);
  });
}

struct visits {
  baton::channel<int> there;
  baton::channel<int> back;
  std::atomic<int> made{0};
};

// A fiber's function, called by the library: waits for another fiber, and goes deeper.
int visit(void* arg, int depth) {
  auto& v = *static_cast<visits*>(arg);
  ++v.made;
  v.there.send(depth);
  EXPECT_EQ(v.back.receive(), depth);
  return depth == 1 ? 0 : foreign_visit(depth - 1, visit, arg);
}

template <class Call>
void visit_in_many_fibers(Call call) {
  baton::run([&] {
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 20; ++i) {
      fibers.push_back(baton::spawn([&] {
        visits v;
        auto partner = baton::spawn([&v] {
          while (const auto depth = v.there.receive()) v.back.send(*depth);
        });
        EXPECT_EQ(call([&v] { return foreign_visit(4, visit, &v); }), 4);
        EXPECT_EQ(v.made, 4);
        v.there.close();
        partner.join();
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

TEST(Callbacks, AFibersFunctionWaitsInsideOfALibrarysCall) {
  visit_in_many_fibers([](const auto& f) { return f(); });
}

// Within a declared call the fiber's function waits as a plain thread does.
TEST(Callbacks, AFibersFunctionWaitsInsideOfADeclaredCall) {
  visit_in_many_fibers([](const auto& f) { return baton::blocking(f); });
  visit_in_many_fibers([](const auto& f) { return baton::pinned_blocking(f); });
}

TEST(Callbacks, ALockedFiberUsesALibraryThatChecksItsThread) {
  baton::run([] {
    std::vector<baton::fiber<void>> fibers;
    for (int i = 0; i < 8; ++i) {
      fibers.push_back(baton::spawn([] {
        baton::lock_os_thread();
        foreign_handle* const handle = foreign_open();
        ASSERT_NE(handle, nullptr);
        for (int n = 1; n <= 20; ++n) {
          baton::this_fiber::yield();
          EXPECT_EQ(foreign_use(handle), n);
        }
        foreign_close(handle);
        baton::unlock_os_thread();
      }));
    }
    for (auto& f : fibers) f.join();
  });
}

}  // namespace
