// Ps that become idle: some thread continues to serve their timers, whatever the other threads do. The calls here end
// when a sleeper has woken, and it can wake only if a thread serves its timer.
#include "doorbell.h"
#include "on_fiber.h"
#include "own_process.h"

#include <baton/sched/declared_call.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/timer.h>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

using namespace baton::sched;
using baton_test::doorbell;
using baton_test::join;
using baton_test::on_fiber;
using baton_test::spawn_fiber;

class IdleDeathTest : public baton_test::own_process_test {};

// A fiber that sleeps again and again and rings the bells each time it has woken.
class ticker {
 public:
  ticker(doorbell* bells, int count, std::int64_t every_ns)
      : bells_(bells), count_(count), fiber_(spawn_fiber([this, every_ns] { run(every_ns); }, true, "ticker")) {}
  [[nodiscard]] int ticks() const { return ticks_.load(); }
  void stop() {
    stop_.store(true);
    join(fiber_);
  }

 private:
  void run(std::int64_t every_ns) {
    while (!stop_.load()) {
      sleep_until_ns(platform::now_ns() + every_ns);
      ticks_.fetch_add(1);
      for (int i = 0; i < count_; ++i) bells_[i].ring();
    }
  }

  doorbell* bells_;
  int count_;
  std::atomic<bool> stop_{false};
  std::atomic<int> ticks_{0};
  fiber* fiber_;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(1);
}

// Makes a declared call that lasts until the ticker has woken again.
void call_until_next_tick(doorbell& bell, const ticker& t) {
  const int before = t.ticks();
  begin_blocking_call();
  if (!bell.wait_until([&] { return t.ticks() > before; })) fail("nobody served the timer");
  end_call(stay::anywhere);
}

// Another thread takes over the calling fiber's P and keeps it. Most often it is the thread that slept in the poller,
// so that no thread sleeps there afterwards.
void have_the_p_taken_over() {
  doorbell taken_over;
  std::atomic<bool> began{false};
  std::atomic<bool> back{false};
  fiber* const successor = spawn_fiber([&] {
    began.store(true);
    taken_over.ring();
    while (!back.load()) yield();
  });
  begin_blocking_call();
  if (!taken_over.wait_until([&] { return began.load(); })) fail("nobody took over the P");
  end_call(stay::anywhere);
  back.store(true);
  join(successor);
}

// Each M sees that the other's P is still busy, so neither needs to leave a thread polling.
TEST_F(IdleDeathTest, TwoThatHandOverAtOnceLeaveSomebodyPolling) {
  EXPECT_EXIT(
      {
        baton_test::start_without_rescue(2);
        on_fiber([] {
          const std::int64_t end = platform::now_ns() + 1'000'000'000;
          doorbell bells[2];
          ticker t(bells, 2, 100'000);
          std::atomic<int> arrived{0};
          std::atomic<int> last{2000};
          std::atomic<int> round{0};
          std::atomic<std::uint64_t> go_at{0};
          const auto call_together = [&](int me) {
            for (int r = 1; r <= last.load(); ++r) {
              if (me == 0) {
                if (platform::now_ns() > end) last.store(r);
                have_the_p_taken_over();  // the other one computes meanwhile
              }
              if (arrived.fetch_add(1) + 1 == 2 * r) {
                go_at.store(platform::ticks() + platform::ticks_of_ns(5'000));
                round.store(r);
              }
              while (round.load() < r) platform::cpu_relax();
              while (platform::ticks() < go_at.load()) platform::cpu_relax();
              call_until_next_tick(bells[me], t);
            }
          };
          fiber* const other = spawn_fiber([&] { call_together(1); });
          call_together(0);
          join(other);
          t.stop();
        });
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

// The P that is handed over has a timer and no work. The other P's fiber computes, so its M does not look for timers.
TEST_F(IdleDeathTest, ItsTimersAreServedWhileTheOtherPIsBusy) {
  EXPECT_EXIT(
      {
        baton_test::start_without_rescue(2);
        on_fiber([] {
          std::atomic<bool> computing{false};
          std::atomic<bool> done{false};
          fiber* const computer = spawn_fiber([&] {
            computing.store(true);
            while (!done.load()) platform::cpu_relax();
          });
          while (!computing.load()) platform::cpu_relax();
          doorbell bell;
          ticker t(&bell, 1, 1'000'000);
          for (int r = 0; r < 50; ++r) {
            have_the_p_taken_over();
            call_until_next_tick(bell, t);
          }
          done.store(true);
          join(computer);
          t.stop();
        });
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
