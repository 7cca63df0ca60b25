// Every wait until a point in time reads the clock that it was given, and waits for one that is slower than
// steady_clock, or is set back meanwhile.
#include <baton/baton.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <limits>
#include <mutex>
#include <optional>
#include <shared_mutex>

namespace {

using namespace std::chrono_literals;

// Runs at a third of the speed.
struct slow_clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<slow_clock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static time_point now() { return time_point(std::chrono::steady_clock::now().time_since_epoch() / 3); }
};

// Is set back at its third reading at the latest.
struct turned_back_clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<turned_back_clock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static inline std::atomic<int> looks{0};
  static time_point now() {
    const bool back = ++looks > 2;
    return time_point(std::chrono::steady_clock::now().time_since_epoch() - (back ? 15ms : 0ms));
  }
};

template <class Clock>
class OtherClocks : public testing::Test {
 protected:
  // Checks that wait(when) ends without success, and not before the clock has reached `when`.
  template <class F>
  void lasts(const char* what, F wait) {
    const auto as_fiber_or_thread = [&] {
      if constexpr (std::is_same_v<Clock, turned_back_clock>) turned_back_clock::looks = 0;
      const auto when = Clock::now() + 5ms;
      wait(when);
      EXPECT_GE(Clock::now(), when) << what;
    };
    baton::spawn(as_fiber_or_thread).join();
    as_fiber_or_thread();
  }
};

using clocks = testing::Types<slow_clock, turned_back_clock, std::chrono::system_clock>;
TYPED_TEST_SUITE(OtherClocks, clocks);

TYPED_TEST(OtherClocks, AreLookedAtByLocks) {
  baton::mutex m;
  m.lock();
  baton::shared_mutex s;
  s.lock();
  baton::semaphore none(0);
  this->lasts("mutex", [&](auto when) { EXPECT_FALSE(m.try_lock_until(when)); });
  this->lasts("shared_mutex", [&](auto when) { EXPECT_FALSE(s.try_lock_until(when)); });
  this->lasts("shared_mutex, shared", [&](auto when) { EXPECT_FALSE(s.try_lock_shared_until(when)); });
  this->lasts("semaphore", [&](auto when) { EXPECT_FALSE(none.try_acquire_until(when)); });
  baton::recursive_mutex r;
  auto owner = baton::spawn([&] {
    r.lock();
    m.lock();
    m.unlock();
    r.unlock();
  });
  while (r.try_lock()) {
    r.unlock();
    baton::this_fiber::yield();
  }
  this->lasts("recursive_mutex", [&](auto when) { EXPECT_FALSE(r.try_lock_until(when)); });
  m.unlock();
  s.unlock();
}

TYPED_TEST(OtherClocks, AreLookedAtByConditionVariables) {
  baton::mutex m;
  baton::condition_variable c;
  this->lasts("wait_until", [&](auto when) {
    std::unique_lock lock(m);
    while (c.wait_until(lock, when) == std::cv_status::no_timeout) {
    }
  });
  this->lasts("wait_until with a predicate", [&](auto when) {
    std::unique_lock lock(m);
    EXPECT_FALSE(c.wait_until(lock, when, [] { return false; }));
  });
}

TYPED_TEST(OtherClocks, AreLookedAtByWhatIsWaitedFor) {
  baton::event e;
  baton::latch l(1);
  baton::wait_group g;
  g.add();
  baton::barrier two(2);
  auto token = two.arrive();
  const auto ctx = baton::with_cancel(baton::context::background());
  baton::promise<void> p;
  const auto f = p.get_future();
  this->lasts("future", [&](auto when) { EXPECT_EQ(f.wait_until(when), std::future_status::timeout); });
  this->lasts("event", [&](auto when) { EXPECT_FALSE(e.wait_until(when)); });
  this->lasts("latch", [&](auto when) { EXPECT_FALSE(l.wait_until(when)); });
  this->lasts("wait_group", [&](auto when) { EXPECT_FALSE(g.wait_until(when)); });
  this->lasts("barrier", [&](auto when) { EXPECT_FALSE(two.wait_until(token, when)); });
  this->lasts("context", [&](auto when) { EXPECT_FALSE(ctx.wait_done_until(when)); });
  this->lasts("the background", [&](auto when) { EXPECT_FALSE(baton::context::background().wait_done_until(when)); });
  this->lasts("sleep_until", [&](auto when) { baton::this_fiber::sleep_until(when); });
  baton::task_group children;
  children.spawn([&] { e.wait(); });
  this->lasts("task_group", [&](auto when) { EXPECT_FALSE(children.wait_until(when)); });
  e.set();
  EXPECT_TRUE(children.wait().ok());
}

TYPED_TEST(OtherClocks, AreLookedAtByChannelsAndSelects) {
  const baton::channel<int> c;
  std::optional<int> out;
  this->lasts("receive", [&](auto when) { EXPECT_EQ(c.receive_until(out, when), baton::channel_status::timeout); });
  this->lasts("send", [&](auto when) { EXPECT_EQ(c.send_until(1, when), baton::channel_status::timeout); });
  this->lasts("select", [&](auto when) {
    EXPECT_EQ(baton::select(baton::on_receive(c, [](auto) {}), baton::on_timeout(when, [] {})), 1U);
  });
  this->lasts("selector", [&](auto when) {
    baton::selector s;
    s.add(baton::on_receive(c, [](auto) {}));
    EXPECT_FALSE(s.wait_until(when).has_value());
    s.add(baton::on_timeout(when, [] {}));
    EXPECT_EQ(s.wait(), 1U);
  });
}

// Does not advance before a thousand readings, which is far too many.
struct standing_clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<standing_clock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static inline std::atomic<int> looks{0};
  static time_point now() { return time_point(++looks < 1000 ? 1s : 2s); }
};

// The time of on_timeout() counts from the start of the wait, however often the other clock has to be read.
TEST(OtherClocksBeside, ATimeoutDoNotPutItOff) {
  const auto as_fiber_or_thread = [] {
    const auto when = standing_clock::time_point(1s) + 1ms;
    const auto begin = [] { standing_clock::looks = 0; };
    begin();
    EXPECT_EQ(baton::select(baton::on_timeout(10ms, [] {}), baton::on_timeout(when, [] {})), 0U);
    begin();
    EXPECT_EQ(baton::select_until(when, baton::on_timeout(10ms, [] {})), 0U);
    begin();
    baton::selector s;
    s.add(baton::on_timeout(10ms, [] {}));
    EXPECT_EQ(s.wait_until(when), 0U);
    begin();
    s.add(baton::on_timeout(when, [] {}));
    EXPECT_EQ(s.wait(), 0U);
  };
  baton::spawn(as_fiber_or_thread).join();
  as_fiber_or_thread();
}

// Hours that overflow as nanoseconds are past, and so is a NaN: a wait for them ends.
TEST(OtherClocksBeside, NoWaitIsForWhatCannotCome) {
  const auto end_at_once = [](auto when) {
    baton::mutex m;
    m.lock();
    EXPECT_FALSE(m.try_lock_until(when));
    m.unlock();
    baton::condition_variable changed;
    std::unique_lock lock(m);
    EXPECT_FALSE(changed.wait_until(lock, when, [] { return false; }));
    const baton::channel<int> c;
    std::optional<int> out;
    EXPECT_EQ(c.receive_until(out, when), baton::channel_status::timeout);
    EXPECT_EQ(baton::select(baton::on_receive(c, [](auto) {}), baton::on_timeout(when, [] {})), 1U);
    EXPECT_FALSE(baton::select_until(when, baton::on_receive(c, [](auto) {})));
    baton::selector s;
    s.add(baton::on_timeout(when, [] {}));
    EXPECT_EQ(s.wait(), 0U);
    baton::this_fiber::sleep_until(when);
  };
  const auto as_fiber_or_thread = [&] {
    using std::chrono::system_clock;
    end_at_once(std::chrono::time_point<system_clock, std::chrono::hours>(std::chrono::hours(-3'000'000)));
    using seconds = std::chrono::duration<double>;
    end_at_once(std::chrono::time_point<system_clock, seconds>(seconds(std::numeric_limits<double>::quiet_NaN())));
  };
  baton::spawn(as_fiber_or_thread).join();
  as_fiber_or_thread();
}

// An event that comes during the wait for a slow clock is not missed.
TYPED_TEST(OtherClocks, DoNotKeepAWaitFromSuccess) {
  baton::spawn([] {
    const baton::channel<int> c;
    auto sender = baton::spawn([&] {
      baton::this_fiber::sleep_for(3ms);
      EXPECT_TRUE(c.send(1));
    });
    std::optional<int> out;
    EXPECT_EQ(c.receive_until(out, TypeParam::now() + 1h), baton::channel_status::ok);
    EXPECT_EQ(out, 1);
    sender.join();
    baton::mutex m;
    m.lock();
    auto unlocker = baton::spawn([&] {
      baton::this_fiber::sleep_for(3ms);
      m.unlock();
    });
    EXPECT_TRUE(m.try_lock_until(TypeParam::now() + 1h));
    unlocker.join();
    m.unlock();
  }).join();
}

}  // namespace
