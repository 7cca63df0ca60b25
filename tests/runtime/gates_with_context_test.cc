// Waits that a context ends: for a lock of a shared_mutex, an event, a latch, a barrier, a wait_group, a fiber's end.
#include "parked.h"

#include <baton/runtime/barrier.h>
#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/latch.h>
#include <baton/runtime/run.h>
#include <baton/runtime/shared_mutex.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>
#include <baton/syscall/blocking.h>

#include <absl/status/status.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

namespace {

using namespace std::chrono_literals;
using baton::test::watched_agent;

const baton::context never = baton::context::background();

// Each is closed at first: wait() waits until open() was called. A wait that succeeds may be repeated.
struct event_gate {
  static constexpr const char* name = "wait for an event";
  void open() { e.set(); }
  absl::Status wait(const baton::context& ctx) { return e.wait(ctx); }
  baton::event e;
};

struct latch_gate {
  static constexpr const char* name = "wait for a latch";
  void open() { l.count_down(); }
  absl::Status wait(const baton::context& ctx) const { return l.wait(ctx); }
  baton::latch l{1};
};

struct barrier_gate {
  static constexpr const char* name = "wait for a barrier";
  void open() { static_cast<void>(b.arrive()); }
  absl::Status wait(const baton::context& ctx) const { return b.wait(token, ctx); }
  baton::barrier<> b{2};
  baton::barrier<>::arrival_token token = b.arrive();
};

struct wait_group_gate {
  static constexpr const char* name = "wait for a wait_group";
  wait_group_gate() { w.add(1); }
  void open() { w.done(); }
  absl::Status wait(const baton::context& ctx) { return w.wait(ctx); }
  baton::wait_group w;
};

struct join_gate {
  static constexpr const char* name = "join of a fiber";
  ~join_gate() { f.join(); }
  void open() { e.set(); }
  absl::Status wait(const baton::context& ctx) const { return f.join(ctx); }
  baton::event e;
  baton::fiber<void> f = baton::spawn([this] { e.wait(); });
};

struct writer_gate {
  static constexpr const char* name = "lock of a shared_mutex";
  writer_gate() { m.lock_shared(); }
  ~writer_gate() { EXPECT_TRUE(m.try_lock()) << "somebody still has the lock, or waits for it"; }
  void open() { m.unlock_shared(); }
  absl::Status wait(const baton::context& ctx) {
    absl::Status s = m.lock(ctx);
    if (s.ok()) m.unlock();
    return s;
  }
  baton::shared_mutex m;
};

struct reader_gate {
  static constexpr const char* name = "lock_shared of a shared_mutex";
  reader_gate() { m.lock(); }
  ~reader_gate() { EXPECT_TRUE(m.try_lock()) << "somebody still has the lock, or waits for it"; }
  void open() { m.unlock(); }
  absl::Status wait(const baton::context& ctx) {
    absl::Status s = m.lock_shared(ctx);
    if (s.ok()) m.unlock_shared();
    return s;
  }
  baton::shared_mutex m;
};

template <class Gate>
class GateWithContext : public testing::Test {};
using gates =
    testing::Types<event_gate, latch_gate, barrier_gate, wait_group_gate, join_gate, writer_gate, reader_gate>;
TYPED_TEST_SUITE(GateWithContext, gates);

TYPED_TEST(GateWithContext, IsWaitedForUntilItOpens) {
  baton::run([] {
    const auto ctx = baton::with_cancel(never);
    TypeParam gate;
    watched_agent watch;
    auto waiter = baton::spawn([&] {
      watch.about_to_wait();
      return gate.wait(ctx);
    });
    watch.await_parked();
    gate.open();
    EXPECT_TRUE(waiter.join().ok());
    EXPECT_TRUE(gate.wait(ctx).ok()) << "it is open";
    EXPECT_TRUE(gate.wait(never).ok());
  });
}

TYPED_TEST(GateWithContext, IsNotWaitedForOnceTheContextIsDone) {
  baton::run([] {
    const auto ctx = baton::with_cancel(never);
    ctx.cancel(absl::AbortedError("the client has gone"));
    TypeParam gate;
    for (const bool open : {false, true}) {
      if (open) gate.open();
      const absl::Status s = gate.wait(ctx);
      EXPECT_TRUE(absl::IsAborted(s));
      EXPECT_EQ(s.message(), std::string(TypeParam::name) + ": the client has gone");
    }
    EXPECT_TRUE(gate.wait(never).ok());
  });
}

TYPED_TEST(GateWithContext, ACancelEndsTheWaitOfAFiber) {
  baton::run([] {
    const auto ctx = baton::with_cancel(never);
    TypeParam gate;
    watched_agent watch;
    auto waiter = baton::spawn([&] {
      watch.about_to_wait();
      return gate.wait(ctx);
    });
    watch.await_parked();
    ctx.cancel();
    EXPECT_TRUE(absl::IsCancelled(waiter.join()));
    gate.open();
    EXPECT_TRUE(gate.wait(never).ok()) << "who left has changed nothing";
  });
}

TYPED_TEST(GateWithContext, ACancelEndsTheWaitOfAThread) {
  const auto ctx = baton::with_cancel(never);
  baton::run([&] {
    TypeParam gate;
    watched_agent watch;
    std::jthread thread([&] {
      watch.about_to_wait();
      EXPECT_TRUE(absl::IsCancelled(gate.wait(ctx)));
    });
    watch.await_parked();
    ctx.cancel();
    baton::blocking([&] { thread.join(); });
    gate.open();
    EXPECT_TRUE(gate.wait(never).ok());
  });
}

TYPED_TEST(GateWithContext, ADeadlineEndsTheWait) {
  baton::run([] {
    TypeParam gate;
    EXPECT_TRUE(absl::IsDeadlineExceeded(gate.wait(baton::with_timeout(never, 1ms))));
    gate.open();
    EXPECT_TRUE(gate.wait(baton::with_timeout(never, 1h)).ok());
  });
}

// The gate opens and the context is cancelled at the same time. Whatever ends the wait, nothing is lost.
TYPED_TEST(GateWithContext, MayOpenWhileTheContextIsCancelled) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      const auto ctx = baton::with_cancel(never);
      TypeParam gate;
      auto waiter = baton::spawn([&] { return gate.wait(ctx); });
      auto canceller = baton::spawn([&] { ctx.cancel(); });
      for (int i = 0; i < round % 3; ++i) baton::this_fiber::yield();
      gate.open();
      const absl::Status end = waiter.join();
      EXPECT_TRUE(end.ok() || absl::IsCancelled(end)) << end;
      canceller.join();
      EXPECT_TRUE(gate.wait(never).ok());
    }
  });
}

}  // namespace
