// The monitor: the thread without a P that watches the other threads. It is the backstop for what was not predicted: a
// P whose M stays in a declared call, a fiber that does not let go, a timer or a network that no thread looks at. It
// also starts threads, because no other thread may do so. What it does at each sweep over the Ps is in sweep.cc.
//
// Its pace follows need, because each of its wakes costs some microseconds of CPU:
//   20 us     once, when a declared call is seen for the first time and work waits: the second sweep decides about
//             the call. There is a budget: 100 a second, and 300 more for those that ended in a retake
//   1 ms      while work waits
//   5 ms      while some P is busy, or the system refuses the thread to which a fiber waits to be locked
//   for ever  while all Ps are idle, except that the sleep is half a second while stacks wait to be trimmed
//             (stack_pool.cc). The M that takes the first P wakes the monitor. Going to sleep is again "publish, fence,
//             look": asleep := true; heavy fence; look; sleep. If that fence fails, an M may have missed `asleep`,
//             so the sleep has an end: the monitor looks again after 10 ms, 20 ms, ... 1 s. While run() waits, the
//             monitor looks once more after some time: perhaps all fibers are asleep for good (deadlock.cc)
#include <baton/sched/deadlock.h>
#include <baton/sched/durations.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/asymmetric_fence.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/rescue.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/stack/stack_pool.h>
#include <baton/sched/sweep.h>
#include <baton/sched/thread_lock.h>

#include <time.h>
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>

namespace baton::sched {

namespace {

platform::atomic<std::uint32_t> bell{0};     // rung to end the monitor's sleep
platform::atomic<bool> asleep{false};        // in the sleep without end, or about to be
platform::atomic<bool> over{false};          // the monitor must end
platform::thread_handle thread;              // belongs to the holder of scheduler::life
platform::atomic<bool> call_watched{false};  // a call of unknown length has begun

// A number of fast sweeps per second. A fast sweep that brought something is given back. Otherwise a program whose
// short calls are seen at every sweep would use up what it needs when one of the calls blocks.
class fast_budget {
 public:
  bool take(std::int64_t now) noexcept {
    if (now - since_ >= 1'000'000'000) {
      since_ = now;
      left_ = limits::monitor_fast_looks_per_s;
      refunds_ = limits::monitor_refunds_per_s;
    }
    if (left_ == 0) return false;
    --left_;
    return true;
  }
  void refund() noexcept {
    if (refunds_ == 0) return;
    --refunds_;
    ++left_;
  }

 private:
  std::int64_t since_ = 0;
  int left_ = 0;
  int refunds_ = 0;
};

bool all_idle() noexcept {
  const scheduler& s = the_scheduler;
  return s.idle_ps.load(mo::seq_cst) >= s.procs.load(mo::relaxed) && !s.threads_wanted.load(mo::acquire) &&
         !any_queue_has_work();
}

// The thread's loop.
class monitor {
 public:
  void run() noexcept {
    platform::set_precise_timers();
    forget_watched_machines();
    if (the_scheduler.config.rescue) sweep_.rescue_after(the_scheduler.config.rescue_after_ns);
    start_first_threads();
    while (!over.load(mo::acquire)) {
      refused_ = !start_wanted_threads();
      const std::int64_t now = platform::now_ns();
      const std::int64_t passed = now - last_look_;
      last_look_ = now;
      sweep_.begin(now, std::min(passed, meant_ + limits::look_late_ns), passed > meant_ + limits::look_lost_ns,
                   refused_);
      const int n = the_scheduler.procs_ever.load(mo::acquire);
      for (int i = 0; i < n; ++i) sweep_.at(the_scheduler.ps[i]);
      const int taken = sweep_.revoke();
      // Work waits beside idle Ps: a thread could not be started, or its start was thought to be of no use.
      if (!sweep_.work_waiting) sweep_.work_waiting = any_queue_has_work();
      if (sweep_.busy > 0 || refused_) sweep_.look_at_the_network();
      if (refused_) share_out_idle_ps();
      sweep_.finish();
      sweep_.report();
      if (!sweep_.new_call) static_cast<void>(stack_pool::instance().trim(now));  // otherwise the next sweep is soon
      if (sweep_.busy > 0) follow_cpu_count(now);
      sleep(taken);
    }
  }

 private:
  void sleep(int taken) noexcept {
    if (was_fast_ && taken > 0) budget_.refund();
    // The next sweep is fast if a call has been seen for the first time while work waits, or if a call is reported to
    // have begun since the last sweep.
    const bool call = call_watched.exchange(false, mo::relaxed) && sweep_.busy > 0;
    was_fast_ = ((sweep_.new_call && sweep_.work_waiting) || (call && !was_fast_)) && budget_.take(platform::now_ns());
    const scheduler& s = the_scheduler;
    if (refused_ && s.idle_ps.load(mo::relaxed) > 0 && (sweep_.work_waiting || !s.polling.load(mo::relaxed))) {
      the_scheduler.threads_wanted.store(true, mo::release);  // try again, but not at once
      sleep_for(sweep_.next_refused_in());
    } else if (was_fast_) {
      sleep_for(limits::monitor_fast_ns);
    } else if (sweep_.work_waiting) {
      sleep_for(std::min(limits::monitor_work_waits_ns, sweep_.next_rescue_in()));
    } else if (sweep_.busy > 0 || (refused_ && thread_to_lock_is_wanted())) {
      sleep_for(limits::monitor_busy_ns);
    } else {
      sleep_while_all_idle();
    }
  }

  void sleep_for(std::int64_t ns) noexcept {
    meant_ = ns;
    const std::uint32_t before = bell.load(mo::acquire);
    if (over.load(mo::relaxed) || (!refused_ && the_scheduler.threads_wanted.load(mo::acquire))) return;
    platform::futex_wait(bell, before, platform::now_ns() + ns);
  }

  void sleep_while_all_idle() noexcept {
    const std::uint32_t before = bell.load(mo::acquire);
    asleep.store(true, mo::seq_cst);
    const bool fenced = platform::heavy_fence();  // pairs with the light fence in monitor_note_busy()
    if (all_idle() && !over.load(mo::relaxed)) {
      if (fenced) {
        sleep_until_rung(before);
      } else {
        sleep_unfenced(before);
      }
    }
    asleep.store(false, mo::seq_cst);
    meant_ = 0;
    last_look_ = platform::now_ns();  // what the sweep can see began just now
  }

  // A thread that takes a P rings. If no thread rings for some time, the monitor asks: can any thread still wake a
  // fiber? It also gives back the memory of stacks that have not been needed for some time.
  static void sleep_until_rung(std::uint32_t before) noexcept {
    std::int64_t pause = limits::deadlock_look_after_ns;
    std::int64_t look_at = deadlock_possible() ? platform::now_ns() + pause : platform::forever_ns;
    for (;;) {
      const std::int64_t trim_at = stack_pool::instance().trim(platform::now_ns());
      const std::int64_t until = std::min(look_at, trim_at);
      if (platform::futex_wait(bell, before, until) || until == platform::forever_ns) return;
      if (platform::now_ns() < look_at) continue;
      const wakers found = find_wakers();
      if (found == wakers::none && still_all_idle(before)) declare_deadlock();
      pause = std::min(2 * pause, limits::deadlock_looks_apart_ns);
      look_at = found != wakers::some && deadlock_possible() ? platform::now_ns() + pause : platform::forever_ns;
    }
  }

  // A thread that took a P when this began may not have seen that it has to ring.
  static void sleep_unfenced(std::uint32_t before) noexcept {
    constexpr std::int64_t first_ns = 10'000'000;
    constexpr std::int64_t longest_ns = 1'000'000'000;
    for (std::int64_t pause = first_ns; all_idle(); pause = std::min(2 * pause, longest_ns)) {
      if (platform::futex_wait(bell, before, platform::now_ns() + pause)) return;
      const std::uint64_t taken = ps_taken();
      if (!deadlock_possible() || !all_idle() || find_wakers() != wakers::none) continue;
      if (all_idle() && taken == ps_taken()) declare_deadlock();
    }
  }
  // Returns a number that changes whenever a thread gets a P.
  static std::uint64_t ps_taken() noexcept {
    platform::lock_guard guard(the_scheduler.lock);
    return the_scheduler.ps_taken;
  }

  // Returns true if no thread has had a P since the bell's number was read.
  static bool still_all_idle(std::uint32_t before) noexcept {
    // The lock: if a P was taken and is idle again, its M has rung before it published that.
    platform::lock_guard guard(the_scheduler.lock);
    return all_idle() && bell.load(mo::acquire) == before;
  }

  sweep sweep_;
  fast_budget budget_;
  bool was_fast_ = false;
  bool refused_ = false;  // a thread is needed, and could not be started
  std::int64_t last_look_ = platform::now_ns();
  std::int64_t meant_ = 0;  // how long it meant to sleep before this sweep
};

// Too large for a stack.
alignas(monitor) std::byte storage[sizeof(monitor)];
static_assert(std::is_trivially_destructible_v<monitor>, "its thread may still be there when the process ends");

void monitor_main(void*) { (new (storage) monitor)->run(); }

}  // namespace

void start_monitor() noexcept {
  over.store(false, mo::relaxed);
  forget_deadlock();
  int error = 0;
  // A thread that has just ended still counts for the system for a moment, and memory may be short for one: a refusal
  // is the answer only when it lasts, for some 200 ms in all.
  constexpr int tries = 20;
  for (int i = 1; i <= tries; ++i) {
    error =
        platform::start_thread(monitor_main, nullptr, "baton-monitor", platform::signals_of_thread::blocked, &thread);
    if (error != EAGAIN && error != ENOMEM) break;
    const timespec pause{0, i * 1'000'000L};
    ::nanosleep(&pause, nullptr);
  }
  if (error != 0) fatal("cannot start the monitor's thread (%s)", std::strerror(error));
}

void end_monitor() noexcept {
  over.store(true, mo::release);
  wake_monitor();  // a reader of the bell before this sees it rung; a reader after this sees `over`
  platform::join_thread(thread);
}

void wake_monitor() noexcept {
  bell.fetch_add(1, mo::release);
  platform::futex_wake(&bell, 1);
}

void monitor_note_busy() noexcept {
  platform::light_fence();  // the P is no longer idle, then look; pairs with sleep_while_all_idle()
  if (__builtin_expect(asleep.load(mo::relaxed), 0)) wake_monitor();
}

void monitor_watch_call() noexcept {
  if (!call_watched.load(mo::relaxed)) call_watched.store(true, mo::relaxed);
}

}  // namespace baton::sched
