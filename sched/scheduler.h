// What all Ps share, and the decisions about who runs what. Internal to sched/.
//
// Lock order, outermost first: scheduler::life > scheduler::lock > timer heap, depot, slab.
#pragma once

#include <baton/sched/fiber_list.h>
#include <baton/sched/in_place.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/machine.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/poller.h>
#include <baton/sched/processor.h>
#include <baton/sched/spilled_batches.h>

#include <cstdint>
#include <mutex>

namespace baton::sched {

// A FIFO that every thread may push to; its size can be read without the lock. Fibers in place (thread_lock.cc) are
// in a row of their own, which has its turns with the other: whoever has a P but no M for it pops of that row alone.
class shared_queue {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(mo::relaxed); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] bool has_in_place() const noexcept { return in_place_size_.load(mo::relaxed) != 0; }
  void push(fiber* f) noexcept {
    platform::lock_guard guard(lock_);
    (f->in_place ? in_place_ : list_).push_back(f);
    count();
  }
  void push_all(fiber_list&& l) noexcept {  // none of them in place
    platform::lock_guard guard(lock_);
    list_.append(static_cast<fiber_list&&>(l));
    count();
  }
  [[nodiscard]] fiber* pop() noexcept { return pop_some(1).pop_front(); }
  // By turns one fiber in place, or up to n of the others.
  [[nodiscard]] fiber_list pop_some(std::size_t n) noexcept {
    fiber_list out;
    if (empty()) return out;
    platform::lock_guard guard(lock_);
    was_in_place_ = !in_place_.empty() && (list_.empty() || !was_in_place_);
    if (was_in_place_) {
      out.push_back(in_place_.pop_front());
    } else {
      for (; n > 0 && !list_.empty(); --n) out.push_back(list_.pop_front());
    }
    count();
    return out;
  }
  [[nodiscard]] fiber* pop_in_place() noexcept {
    if (!has_in_place()) return nullptr;
    platform::lock_guard guard(lock_);
    fiber* const f = in_place_.pop_front();
    count();
    return f;
  }

 private:
  void count() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    // relaxed: hints, but for those who publish an idle P and look at all queues afterwards: they and the one
    // who pushes have fences of their own (idle.cc).
    size_.store(list_.size() + in_place_.size(), mo::relaxed);
    in_place_size_.store(in_place_.size(), mo::relaxed);
  }

  platform::spin_lock lock_;
  fiber_list list_ ABSL_GUARDED_BY(lock_);
  fiber_list in_place_ ABSL_GUARDED_BY(lock_);
  bool was_in_place_ ABSL_GUARDED_BY(lock_) = false;  // whose turn the last one was
  platform::atomic<std::size_t> size_{0};
  platform::atomic<std::size_t> in_place_size_{0};
};

struct scheduler {
  // ---- read often, written seldom ----
  platform::atomic<bool> up{false};              // between a start and a shutdown: new needs are served (shutdown.cc)
  platform::atomic<bool> has_ps{false};          // since the first start
  platform::atomic<std::size_t> stack_size{0};   // of fibers that do not ask for another one
  platform::atomic<std::size_t> stack_class{0};  // that of this size
  platform::atomic<int> procs{0};
  platform::atomic<int> procs_ever{0};          // the highest number that procs has had
  platform::atomic<poller*> source{nullptr};    // never null while the runtime runs
  platform::atomic<bool> forked{false};         // this is the child of a fork
  platform::atomic<bool> ending{false};         // exit() has been called: no M starts any more
  platform::atomic<bool> takes_no_more{false};  // the monitor: the kernel refuses the barrier that it needs for that
  settings config;

  // ---- queues ----
  alignas(64) shared_queue global;
  alignas(64) shared_queue returning;   // fibers back from a syscall without a P
  alignas(64) spilled_batches spilled;  // fibers that have not run yet

  // ---- the idle protocol (idle.cc) ----
  alignas(64) platform::atomic<int> idle_ps{0};
  platform::atomic<int> spinning{0};
  platform::atomic<bool> polling{false};         // somebody is, or is about to be, in the blocking poll
  platform::atomic<std::int64_t> poll_until{0};  // until when; 0: not known yet
  platform::atomic<std::uint64_t> last_poll_ticks{0};
  platform::atomic<bool> someone_polls_now{false};  // a poll(0) is under way: others need not
  alignas(64) platform::spin_lock lock;
  processor* idle_p_list ABSL_GUARDED_BY(lock) = nullptr;
  machine* idle_m_list ABSL_GUARDED_BY(lock) = nullptr;
  int idle_m_count ABSL_GUARDED_BY(lock) = 0;
  std::uint64_t ps_taken ABSL_GUARDED_BY(lock) = 0;  // so many times has a P ceased to be idle
  bool closing ABSL_GUARDED_BY(lock) = false;        // Ms end instead of going to sleep

  // ---- start and shutdown ----
  std::mutex life;
  platform::atomic<int> threads_served{0};  // plain ones that wait for what only the runtime brings

  // ---- threads ----
  platform::atomic<int> threads{0};
  platform::atomic<int> threads_idle{0};
  platform::atomic<bool> threads_wanted{false};  // more of them, now: work waits for a thread
  platform::atomic<bool> spare_wanted{false};    // one more, when the monitor looks
  platform::atomic<int> max_threads{limits::threads_max};
  platform::atomic<std::int64_t> idle_thread_ends_after_ns{0};

  // ---- counters that several threads write; none on a hot path ----
  platform::atomic<std::uint64_t> handoffs_predicted{0}, handoffs_unknown{0}, handoffs_hinted{0}, retakes{0},
      rescues{0}, polls{0}, threads_started{0}, thread_failures{0}, returned_slow{0}, slices_ended{0};
  platform::atomic<std::uint64_t> next_id{1};

  // limits::procs_max of them, made at start and never freed; null before.
  processor* ps = nullptr;
};

// One per process: constant-initialised, so it works in static initialisers, and never destroyed.
union scheduler_storage {
  constexpr scheduler_storage() noexcept : value() {}
  ~scheduler_storage() {}
  scheduler value;
};
extern scheduler_storage the_scheduler_storage;
inline constexpr scheduler& the_scheduler = the_scheduler_storage.value;

// ---- queues (queues.cc); all in a section, with P p ----
void push_overflowing(processor* p, fiber* f) noexcept;
inline void push_local(processor* p, fiber* f) noexcept {  // to the tail; overflow goes global
  if (__builtin_expect(!p->queue.push(f), 0)) push_overflowing(p, f);
}
inline void push_next(processor* p, fiber* f) noexcept {  // goes first
  if (fiber* const before = p->queue.exchange_next(f)) push_local(p, before);
}
void spill(processor* p) noexcept;  // fibers that have not run yet, off a ring that is full of such
// Whether fibers that wait their turn (they yielded, or were polled) belong at the end of the global
// queue: when others are there already, or this ring is well filled.
[[nodiscard]] inline bool goes_global(const processor* p) noexcept {
  return !the_scheduler.global.empty() || p->queue.ring_size() >= run_queue::slots / 2;
}
void push_local_all(processor* p, fiber_list&& list) noexcept;
[[nodiscard]] fiber* pick_slow(machine* m, processor* p) noexcept;
// The next fiber to run, without looking further than this P and the shared queues. Null: none; or the
// turn was that of a fiber in place, which got the P: then m has none any more.
[[nodiscard]] inline fiber* pick(machine* m, processor* p) noexcept {
  const std::uint32_t left = p->countdown.load(mo::relaxed) - 1;
  p->countdown.store(left, mo::relaxed);
  if (__builtin_expect(left != 0 && the_scheduler.returning.empty(), 1)) {
    if (fiber* const f = p->queue.take_next()) {
      p->chained.add();
      return f;
    }
    if (fiber* const f = p->queue.pop()) return f;
  }
  return pick_slow(m, p);
}
// Takes work from the other Ps, for p, which has none. Null: there is none at a glance.
[[nodiscard]] fiber* steal(processor* p) noexcept;
// Whether the running fiber may hand on directly to one that it has readied; counts as a pick of
// runnext. False when it is time for a slow pick.
[[nodiscard]] inline bool chain_goes_on(processor* p) noexcept {
  const std::uint32_t left = p->countdown.load(mo::relaxed) - 1;
  if (static_cast<std::int32_t>(left) <= 0 || !the_scheduler.returning.empty()) return false;
  p->countdown.store(left, mo::relaxed);
  p->chained.add();
  return true;
}
// The slice is used up, and the running fiber about to switch: what is in runnext waits behind the others, and with
// it the chain ends.
void end_chain(machine* m) noexcept;
// Is there anything that could run on a P?
[[nodiscard]] bool work_waits(const processor* p) noexcept;
[[nodiscard]] inline bool shared_work_waits() noexcept {
  const scheduler& s = the_scheduler;
  return !s.global.empty() || !s.returning.empty() || !s.spilled.empty();
}

// The same for a batch.
void make_runnable_all(machine* m, fiber_list&& list) noexcept;

// ---- idle.cc ----
[[nodiscard]] bool any_queue_has_work() noexcept;
// After work was published: if a P is idle and nobody looks for work, makes somebody look. Contains
// the fence between publishing and looking.
void wake_for_work() noexcept;
// Looks for work with a P until there is some; goes idle when there is none. Returns a fiber, or null
// when the M has to look at its state again (it has no P). Native context only.
[[nodiscard]] fiber* find_work(machine* m) noexcept;
// Waits without a P until it is given one, or takes an idle one. Native context only. False: the thread is to end.
[[nodiscard]] bool wait_for_p(machine* m) noexcept;
// Takes an idle P for m, in a section. False: there is none.
[[nodiscard]] bool acquire_idle_p(machine* m) noexcept;
// Whether somebody looks for work, or sleeps and can be woken to.
[[nodiscard]] inline bool somebody_could_serve() noexcept {
  const scheduler& s = the_scheduler;
  return s.threads_idle.load(mo::relaxed) > 0 || s.polling.load(mo::relaxed) || s.spinning.load(mo::relaxed) > 0;
}
// A busy P's look around, by m: due timers, and the network when nobody has polled for a while (queues.cc).
void look_around(machine* m, processor* p) noexcept;
// m's own P p, in a section, goes to others: to an M that waits if there is work, or to the idle ones. m has none
// afterwards.
void release_p(machine* m, processor* p) noexcept;
// Finds a P that belongs to nobody a new M, or puts it on the idle list.
void handoff_p(processor* p) noexcept;
void put_idle(processor* p) noexcept;
// From here on Ms end instead of going to sleep, and those that sleep are woken to end; false: no more.
void close_machines(bool closing) noexcept;
// Rebuilds the idle list for another number of Ps; busy ones beyond it go when they are next seen.
void change_procs(int n) noexcept;
namespace detail {
void cover_timer(std::int64_t when) noexcept;
}
// If the sleeper in the poller would sleep past `when`, wakes it: the timer at `when` is of an idle P.
void break_poll_before(std::int64_t when) noexcept;
// The same for a busy P, which may not come to run it in time: that sleeper comes some time after `when`.
inline void cover_busy_timer(std::int64_t when) noexcept {
  if (the_scheduler.procs.load(mo::relaxed) > 1) detail::cover_timer(when);  // with one P there is nobody else
}
// m has got a P that was idle, at the end of a call: whether other work waits for it, and nobody else is there to see
// to that (no M sleeps, none looks for work). Looks at timers and at the network, too.
[[nodiscard]] bool others_wait_for_p(machine* m) noexcept;
// The monitor's, while no thread can be had: what waits with an idle P goes where every M finds it, and fibers
// that wait in place get the P.
void share_out_idle_ps() noexcept;

// Hands m's own P, in a section, to an M that waits; m has none afterwards.
void pass_p_on(machine* m, processor* p, machine* to) noexcept;
// An idle P that from now on belongs to the caller; null: none, at a glance.
[[nodiscard]] processor* pop_idle_p() noexcept;

// ---- timer.cc ----
// Runs due timers of `mine`, and of every idle P (retired ones too), whose owners are not there to do it, and those of
// busy Ps that are late; no more than a look may (timer.cc). Returns whether that left some.
bool run_all_due_timers(processor* mine, fiber_list& out) noexcept;
// The same for p alone, by somebody who has no P. What they ready goes into `out`.
void run_due_timers(processor* p, std::int64_t now, fiber_list& out) noexcept;

// ---- thread_lock.cc: fibers that stay on their thread while they wait ----
// Of the Ms, so many are locked to a fiber each.
[[nodiscard]] int threads_locked() noexcept;
// There is a thread more, or may be. Not in a section.
void thread_added() noexcept;

// Makes a fiber runnable that nobody else has a hold on. m: the calling M, in a section, or null.
inline void make_runnable(machine* m, fiber* f) noexcept {
  if (__builtin_expect(f->in_place, 0)) {
    ready_in_place(f);
    return;
  }
  processor* const p = m != nullptr ? m->my_p() : nullptr;
  if (__builtin_expect(p != nullptr, 1)) {
    push_next(p, f);
    // With one P, and that one ours, nobody can be woken for it.
    if (the_scheduler.procs.load(mo::relaxed) == 1) return;
  } else {
    the_scheduler.global.push(f);
  }
  wake_for_work();
}

// The same for one that has not run yet, by an M in a section.
inline void make_spawned_runnable(machine* m, fiber* f) noexcept {
  if (processor* const p = m->my_p(); p != nullptr && __builtin_expect(++p->spawned >= limits::spill_batch, 0)) {
    spill(p);
  }
  make_runnable(m, f);
}

// ---- machine.cc ----
// The monitor's job: the first few threads, and later those that are wanted.
void start_first_threads() noexcept;
void end_machines() noexcept;          // shutdown's, when nobody starts any: afterwards all have retired
void join_ended_machines() noexcept;   // waits until the threads of those that have retired are gone
void leave_ended_machines() noexcept;  // at exit: nobody will
bool start_wanted_threads() noexcept;  // false: one was needed, and cannot be had now
void want_thread() noexcept;

// ---- poller.cc ----
void install_first_poller() noexcept;
// Gives the free stacks that Ps keep to the depot; nobody has a P.
void release_stack_caches() noexcept;

// ---- monitor.cc ----
void start_monitor() noexcept;
void end_monitor() noexcept;         // and joins it
void wake_monitor() noexcept;        // to start a thread
void monitor_note_busy() noexcept;   // a P was taken off the idle list: ends the monitor's long sleep
void monitor_watch_call() noexcept;  // a call of unknown length has begun and kept its P

}  // namespace baton::sched
