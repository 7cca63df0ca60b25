// The monitor: the thread without a P that watches the others. It is the backstop for what was not
// predicted: a P whose M stays in a declared call, a fiber that does not let go, a timer or a network
// that nobody looks at; and it starts threads, because nobody else may.
//
// What it does at each look, P by P (only busy ones):
//   visit in syscall    the same visit on two looks, at least 20 us old, its thread blocked or at work, and work
//                       waits that nobody idle or spinning serves; or 10 ms old and work waits: retake.
//                       A thread that only waits for a CPU is left its P until then: a call that is short ends as
//                       soon as it gets one, and another thread would wait there, too.
//   visit in user code  10 ms old (option rescue_after), and work waits that nobody idle or spinning
//                       serves: rescue, with a report (rescue.cc says when not)
//   same slice          one fiber or runnext chain for 10 ms, or by the next look, while others wait: tell
//                       `slice_over`, heeded at the M's next call that may switch; so before a rescue falls due, too.
//                       Not heeded for another 10 ms (rescue_after) although it makes calls: tell `overdue`, heeded
//                       at any call (rescue.cc, "calling")
//   timers              more than 1 ms overdue: run them, their fibers go to the global queue. Those of idle Ps at
//                       once, while no thread can be had to do it
//   retired P           (procs was lowered) taken from user code and calls alike
// and once: poll the network if nobody has for 1 ms; wake somebody if work waits and a P is idle (the
// backstop for a thread that could not be started); start the threads that are wanted; while they are refused, put what
// lies with idle Ps where every M finds it (idle.cc); once a second, see how many CPUs there are (lifecycle.cc).
//
// Revoking follows baton_word.h: judge all, ask all candidates, one heavy barrier, take each. The
// monitor is the only revoker: set_procs leaves the Ps that must go to it.
//
// The barrier may fail: a process may forbid itself membarrier(2) while it runs. Then nothing is known of the Ms, so
// none that was asked loses its P. If it is refused for good, that is said, and nothing is taken any more:
//   declared calls      hand their P over at entry when work waits, whatever their site has learnt (handoff.cc)
//   a retired P         its M is told `overdue`, and gives it up at its next call
//   undeclared code     that blocks keeps its P; one that makes calls is told `overdue`, as always
//
// Its pace follows need, because each of its wakes costs some microseconds of CPU:
//   20 us     once, when a declared call is seen for the first time and work waits: the second look at it
//             decides. From a budget: 100 a second, and 300 more for those that ended in a retake
//   1 ms      while work waits
//   5 ms      while some P is busy
//   for ever  while all Ps are idle, but for half a second while stacks wait to be trimmed (stack_pool.cc): the M that
//             takes the first P wakes it. Going to sleep is again "publish, fence, look": asleep := true; heavy
//             barrier; look; sleep. If that barrier fails, an M may have missed `asleep`, so the sleep has an end: it
//             looks again after 10 ms, 20 ms, ... 1 s. While run() waits, it looks once more after a while: perhaps
//             all fibers are asleep for good (deadlock.cc)
//
// The age of a visit in user code is counted in looks: each adds the time since the last one, but not
// much more than that was meant to be. What began between two looks is taken to have begun half way.
#include <baton/sched/call_site.h>
#include <baton/sched/deadlock.h>
#include <baton/sched/durations.h>
#include <baton/sched/fatal.h>
#include <baton/sched/platform/barrier.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/rescue.h>
#include <baton/sched/rescue_report.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/stack_pool.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <new>
#include <type_traits>

namespace baton::sched {

namespace {

// How long one visit, or one slice, has been seen to last.
struct observation {
  machine* m = nullptr;
  baton_word::visit visit;
  std::int64_t visit_since = 0;
  std::int64_t visit_age = 0;  // in looks that came on time
  std::int64_t cpu_ns = -1;    // that the thread had used at cpu_at, of a visit that might be at work; -1: not asked
  std::int64_t cpu_at = 0;
  std::uint64_t slice = 0;
  std::int64_t slice_since = 0;
  bool slice_told = false;
  std::int64_t told_cpu_ns = 0;  // that the thread had used then
};

platform::atomic<std::uint32_t> bell{0};     // rung to end the monitor's sleep
platform::atomic<bool> asleep{false};        // in the sleep without end, or about to be
platform::atomic<bool> over{false};          // the monitor is to end
platform::thread_handle thread;              // whoever holds scheduler::life
platform::atomic<bool> call_watched{false};  // a call of unknown length has begun
observation seen[limits::procs_max];

bool somebody_serves() noexcept {
  const scheduler& s = the_scheduler;
  return s.spinning.load(mo::relaxed) > 0 || s.idle_ps.load(mo::relaxed) > 0;
}

struct candidate {
  processor* p;
  machine* m;
  baton_word::visit visit;
  rescue_policy::verdict rescue;  // none: a declared call, or a retired P
  call_site* site;                // of the declared call; may be null
  std::int64_t age;
};

class look {
 public:
  void rescue_after(std::int64_t ns) noexcept {
    rescues_.set_after(ns);
    rescue_ = true;
  }

  // passed: since the last look, as far as it counts. lost: nothing before counts.
  void begin(std::int64_t now, std::int64_t passed, bool lost, bool refused) noexcept {
    now_ = now;
    refused_ = refused;
    next_timer_ = platform::forever_ns;
    passed_ = passed;
    procs_ = the_scheduler.procs.load(mo::relaxed);
    if (lost) rescues_.forget();
    if (rescue_) rescues_.look_after(now);
    busy = 0;
    work_waiting = new_call = false;
    oldest_ = 0;
    count_ = described_ = 0;
  }

  void at(processor& p) noexcept {
    observation& o = seen[p.index];
    const bool idle = p.idle.load(mo::relaxed);
    if (now_ - p.timers.earliest() > (idle && refused_ ? 0 : limits::timer_overdue_ns)) {
      run_due_timers(&p, now_, readied_);
    }
    if (idle) {
      next_timer_ = std::min(next_timer_, p.timers.earliest());
      o.m = nullptr;
      return;
    }
    ++busy;
    const bool waits = work_waits(&p);
    if (waits) work_waiting = true;
    machine* const m = p.m.load(mo::acquire);
    if (m == nullptr) return;
    const baton_word::visit v = m->baton.judge();
    if (m->my_p() != &p) return;  // a hint: revoke() asks again
    const bool new_visit = o.m != m || !(o.visit == v);
    if (new_visit) {
      o.visit = v;
      o.visit_since = now_;
      o.visit_age = passed_ / 2;
      o.cpu_ns = -1;
    } else {
      o.visit_age += passed_;
    }
    const std::uint64_t slice = p.picks() - p.chained.read();
    if (o.m != m || o.slice != slice) {
      o.slice = slice;
      o.slice_since = now_;
      o.slice_told = false;
    }
    const bool first_sight = o.m != m;
    o.m = m;

    const std::int64_t age = now_ - o.visit_since;
    const bool retired = p.index >= static_cast<std::uint32_t>(procs_);
    if (v.where == place::syscall && waits && new_visit) new_call = true;
    if (retired) {
      if (!first_sight || v.where == place::user) revoke_retired(p, *m, v, age);
    } else if (v.where == place::syscall) {
      if (!takes_no_more_ && !first_sight && waits && is_to_be_retaken(*m, o, age, now_)) {
        // Written before the visit began, and not again before it ends: if the P can be taken, it is this call's
        // (or, hardly ever, the next one's).
        candidates_[count_++] = {&p, m, v, rescue_policy::verdict::none, m->call.load(mo::relaxed), age};
      }
    } else if (v.where == place::user && waits && rescue_ && !somebody_serves()) {
      oldest_ = std::max(oldest_, o.visit_age);
      const auto verdict = takes_no_more_ ? rescue_policy::verdict::none
                                          : rescues_.judge(*m, p.index, v, o.visit_age, now_, o.slice_told, procs_);
      if (verdict != rescue_policy::verdict::none) candidates_[count_++] = {&p, m, v, verdict, nullptr, o.visit_age};
      if (o.visit_age >= rescues_.after() - limits::monitor_work_waits_ns) tell_slice_over(o);
    }
    if (const std::int64_t since_end = now_ - o.slice_since - limits::time_slice_ns;
        waits && since_end >= -limits::monitor_work_waits_ns) {
      if (!o.slice_told) {
        tell_slice_over(o);
      } else if (!m->baton.slice_is_over()) {  // heeded, but there was nobody to give way to
        o.slice_told = false;
        o.slice_since = now_;
      } else if (new_visit && v.where == place::user && rescue_ && !somebody_serves() &&
                 rescues_.is_overdue(*m, o.told_cpu_ns, since_end, now_, procs_)) {
        m->baton.tell(baton_word::overdue);
        describe(*m, true, since_end + limits::time_slice_ns);
        o.slice_since = now_;
      }
    }
  }

  // Takes the candidates' Ps; returns how many.
  int revoke() noexcept {
    if (count_ == 0) return 0;
    int asked = 0;
    for (int i = 0; i < count_; ++i) {
      if (candidates_[i].m->baton.ask()) candidates_[asked++] = candidates_[i];
    }
    if (!platform::heavy_barrier()) {  // pairs with the light barriers of enter and end_syscall
      for (int i = 0; i < asked; ++i) candidates_[i].m->baton.withdraw();
      note_refusal();
      return 0;
    }
    int taken = 0;
    for (int i = 0; i < asked; ++i) {
      const candidate& c = candidates_[i];
      // Its P cannot change during a visit, so if it is p after the barrier it is for all of the visit.
      if (!c.m->baton.take(c.visit, c.m->my_p() == c.p)) continue;
      c.m->baton.clear_slice();
      ++taken;
      seen[c.p->index].m = nullptr;
      if (c.rescue == rescue_policy::verdict::none) {
        the_scheduler.retakes.fetch_add(1, mo::relaxed);
        if (c.site != nullptr) c.site->was_retaken();
      } else {
        the_scheduler.rescues.fetch_add(1, mo::relaxed);
        rescues_.taken(*c.m, c.rescue, now_);
        describe(*c.m, c.rescue == rescue_policy::verdict::computing, c.age);
      }
      hand_off(c.p);
    }
    return taken;
  }

  void look_at_the_network() noexcept {
    scheduler& s = the_scheduler;
    const std::uint64_t t = platform::ticks();
    if (s.polling.load(mo::relaxed) ||
        t - s.last_poll_ticks.load(mo::relaxed) < platform::ticks_of_ns(limits::poll_gap_monitor_ns) ||
        s.someone_polls_now.exchange(true, mo::acquire)) {
      return;
    }
    s.source.load(mo::acquire)->poll(0, readied_);
    s.polls.fetch_add(1, mo::relaxed);
    s.last_poll_ticks.store(t, mo::relaxed);
    s.someone_polls_now.store(false, mo::release);
  }

  void finish() noexcept {
    if (!readied_.empty()) {
      make_runnable_all(nullptr, static_cast<fiber_list&&>(readied_));
      work_waiting = true;  // for the next look, perhaps behind a call that was expected to be short
    } else if (work_waiting) {
      wake_for_work();
    }
  }

  static bool is_to_be_retaken(const machine& m, observation& o, std::int64_t age, std::int64_t now) noexcept {
    if (age >= limits::retake_at_the_latest_ns) return true;
    if (age < limits::retake_after_ns || somebody_serves()) return false;
    const std::int32_t tid = m.tid.load(mo::relaxed);
    if (!platform::thread_is_runnable(tid)) return true;
    const std::int64_t cpu = platform::thread_cpu_ns(tid);
    if (o.cpu_ns >= 0 && 2 * (cpu - o.cpu_ns) >= now - o.cpu_at) return true;
    o.cpu_ns = cpu;
    o.cpu_at = now;
    return false;
  }

  static void tell_slice_over(observation& o) noexcept {
    if (o.slice_told) return;
    if (!o.m->baton.tell_slice_over()) return;  // it has just given its P away
    o.slice_told = true;
    o.told_cpu_ns = platform::thread_cpu_ns(o.m->tid.load(mo::relaxed));
  }

  // There can be no heavy barrier now, and if it is refused there never will be one again.
  void note_refusal() noexcept {
    if (takes_no_more_ || platform::barriers() != platform::barrier_kind::refused) return;
    takes_no_more_ = true;
    the_scheduler.takes_no_more.store(true, mo::relaxed);
    warn(
        "this process has forbidden itself membarrier(2): no processor is taken any more from a fiber that blocks or "
        "computes undeclared, and declared calls hand theirs over whenever others wait");
  }

  // The P must go. If it cannot be taken, its M gives it up at its next call, whatever that is.
  void revoke_retired(processor& p, machine& m, const baton_word::visit& v, std::int64_t age) noexcept {
    if (v.where != place::user && v.where != place::syscall) return;
    if (!takes_no_more_) {
      candidates_[count_++] = {&p, &m, v, rescue_policy::verdict::none, nullptr, age};
    } else if (m.baton.tell_slice_over()) {
      m.baton.tell(baton_word::overdue);
    }
  }

  void describe(const machine& m, bool computing, std::int64_t age) noexcept {
    if (described_ < reports_a_look) described_rescues_[described_++] = describe_rescued(m, computing, age);
  }

  // How long until the oldest visit in user code comes of age, and a little.
  [[nodiscard]] std::int64_t next_rescue_in() const noexcept {
    if (oldest_ == 0 || oldest_ >= rescues_.after()) return platform::forever_ns;
    return baton::detail::saturated_sum(rescues_.after() - oldest_, 20'000);
  }

  // After all else: it reads /proc, and looks up symbols.
  void report() noexcept {
    for (int i = 0; i < described_; ++i) static_cast<void>(reports_.report(described_rescues_[i], now_));
    rescues_.say_if_crowded(now_);
  }

  // While threads are refused: until the next timer of an idle P, or a regular look.
  [[nodiscard]] std::int64_t next_refused_in() const noexcept {
    return std::clamp<std::int64_t>(next_timer_ - now_, limits::monitor_work_waits_ns / 8,
                                    limits::monitor_work_waits_ns);
  }

  int busy = 0;
  bool work_waiting = false;
  bool new_call = false;  // a declared call was seen for the first time, while work waits for its P

 private:
  std::int64_t now_ = 0;
  std::int64_t passed_ = 0;
  int procs_ = 0;
  bool refused_ = false;                            // a thread is wanted, and cannot be had
  std::int64_t next_timer_ = platform::forever_ns;  // of the idle Ps
  bool rescue_ = false;
  bool takes_no_more_ = false;
  std::int64_t oldest_ = 0;  // of the visits in user code while work waits
  rescue_policy rescues_;
  static constexpr int reports_a_look = 4;  // one a second is written
  int described_ = 0;
  rescued described_rescues_[reports_a_look];
  rescue_reports reports_;
  int count_ = 0;
  candidate candidates_[limits::procs_max];
  fiber_list readied_;
};

// Fast looks: a number per second. One that brought something is given back, so that a program whose short
// calls are seen at every look does not use up what it needs when one of them blocks.
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
    if (the_scheduler.config.rescue) look_.rescue_after(the_scheduler.config.rescue_after_ns);
    start_first_threads();
    while (!over.load(mo::acquire)) {
      refused_ = !start_wanted_threads();
      const std::int64_t now = platform::now_ns();
      const std::int64_t passed = now - last_look_;
      last_look_ = now;
      look_.begin(now, std::min(passed, meant_ + limits::look_late_ns), passed > meant_ + limits::look_lost_ns,
                  refused_);
      const int n = the_scheduler.procs_ever.load(mo::acquire);
      for (int i = 0; i < n; ++i) look_.at(the_scheduler.ps[i]);
      const int taken = look_.revoke();
      // Work beside idle Ps: a thread could not be started, or its start was thought to be of no use.
      if (!look_.work_waiting) look_.work_waiting = any_queue_has_work();
      if (look_.busy > 0 || refused_) look_.look_at_the_network();
      if (refused_) share_out_idle_ps();
      look_.finish();
      look_.report();
      if (!look_.new_call) static_cast<void>(stack_pool::instance().trim(now));  // else the next look is soon
      if (look_.busy > 0) follow_cpu_count(now);
      sleep(taken);
    }
  }

 private:
  void sleep(int taken) noexcept {
    if (was_fast_ && taken > 0) budget_.refund();
    // Seen, or said to have begun since the last look.
    const bool call = call_watched.exchange(false, mo::relaxed) && look_.busy > 0;
    was_fast_ = ((look_.new_call && look_.work_waiting) || (call && !was_fast_)) && budget_.take(platform::now_ns());
    const scheduler& s = the_scheduler;
    if (refused_ && s.idle_ps.load(mo::relaxed) > 0 && (look_.work_waiting || !s.polling.load(mo::relaxed))) {
      the_scheduler.threads_wanted.store(true, mo::release);  // again, but not at once
      sleep_for(look_.next_refused_in());
    } else if (was_fast_) {
      sleep_for(limits::monitor_fast_ns);
    } else if (look_.work_waiting) {
      sleep_for(std::min(limits::monitor_work_waits_ns, look_.next_rescue_in()));
    } else if (look_.busy > 0) {
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
    const bool fenced = platform::heavy_barrier();  // pairs with the light barrier in monitor_note_busy()
    if (all_idle() && !over.load(mo::relaxed)) {
      if (fenced) {
        sleep_until_rung(before);
      } else {
        sleep_unfenced(before);
      }
    }
    asleep.store(false, mo::seq_cst);
    meant_ = 0;
    last_look_ = platform::now_ns();  // what there is to see began just now
  }

  // Whoever takes a P rings. If nobody does for some time: can anybody still wake a fiber? And the memory of stacks
  // that have not been needed for some time is given back.
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

  // Who took a P when this began may not have seen that it has to ring.
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
  // A number that changes whenever somebody gets a P.
  static std::uint64_t ps_taken() noexcept {
    platform::lock_guard guard(the_scheduler.lock);
    return the_scheduler.ps_taken;
  }

  // Whether nobody has had a P since the bell's number was read.
  static bool still_all_idle(std::uint32_t before) noexcept {
    // The lock: if a P was taken and is idle again, its M has rung before it published that.
    platform::lock_guard guard(the_scheduler.lock);
    return all_idle() && bell.load(mo::acquire) == before;
  }

  look look_;
  fast_budget budget_;
  bool was_fast_ = false;
  bool refused_ = false;  // a thread is needed, and could not be started
  std::int64_t last_look_ = platform::now_ns();
  std::int64_t meant_ = 0;  // to sleep, before this look
};

// Too large for a stack.
alignas(monitor) std::byte storage[sizeof(monitor)];
static_assert(std::is_trivially_destructible_v<monitor>, "its thread may still be there when the process ends");

void monitor_main(void*) { (new (storage) monitor)->run(); }

}  // namespace

void start_monitor() noexcept {
  std::fill(std::begin(seen), std::end(seen), observation{});
  over.store(false, mo::relaxed);
  forget_deadlock();
  const int error =
      platform::start_thread(monitor_main, nullptr, "baton-monitor", platform::signals_of_thread::blocked, &thread);
  if (error != 0) fatal("cannot start the monitor's thread (%s)", std::strerror(error));
}

void end_monitor() noexcept {
  over.store(true, mo::release);
  wake_monitor();  // who has read the bell before sees it rung, who reads it after this sees `over`
  platform::join_thread(thread);
}

void wake_monitor() noexcept {
  bell.fetch_add(1, mo::release);
  platform::futex_wake(&bell, 1);
}

void monitor_note_busy() noexcept {
  platform::light_barrier();  // the P is no longer idle, then look; pairs with sleep_while_all_idle()
  if (__builtin_expect(asleep.load(mo::relaxed), 0)) wake_monitor();
}

void monitor_watch_call() noexcept {
  if (!call_watched.load(mo::relaxed)) call_watched.store(true, mo::relaxed);
}

}  // namespace baton::sched
