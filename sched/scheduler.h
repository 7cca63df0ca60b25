// What all Ps share, and the decisions about which fiber runs where. Internal to sched/.
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

// A FIFO that every thread may push to. Its size can be read without the lock. Fibers in place (thread_lock.cc) have a
// row of their own, which takes turns with the other: a thread that has a P but no M for it pops from that row only.
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
  void push_all(fiber_list&& l) noexcept {  // Requires: none of them is in place.
    platform::lock_guard guard(lock_);
    list_.append(static_cast<fiber_list&&>(l));
    count();
  }
  [[nodiscard]] fiber* pop() noexcept { return pop_some(1).pop_front(); }
  // Takes, in turns, one fiber in place or up to n of the others.
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
    // relaxed: hints, except for the threads that publish an idle P and look at all queues afterwards: they and the
    // thread that pushes have fences of their own (idle.cc).
    size_.store(list_.size() + in_place_.size(), mo::relaxed);
    in_place_size_.store(in_place_.size(), mo::relaxed);
  }

  platform::spin_lock lock_;
  fiber_list list_ ABSL_GUARDED_BY(lock_);
  fiber_list in_place_ ABSL_GUARDED_BY(lock_);
  bool was_in_place_ ABSL_GUARDED_BY(lock_) = false;  // which row had the last turn
  platform::atomic<std::size_t> size_{0};
  platform::atomic<std::size_t> in_place_size_{0};
};

struct scheduler {
  // ---- read often, written seldom ----
  platform::atomic<bool> up{false};              // between a start and a shutdown: new needs are served (shutdown.cc)
  platform::atomic<bool> has_ps{false};          // since the first start
  platform::atomic<std::size_t> stack_size{0};   // of fibers that do not ask for another size
  platform::atomic<std::size_t> stack_class{0};  // the class of that size
  platform::atomic<int> procs{0};
  platform::atomic<int> procs_ever{0};        // the highest number that procs has had
  platform::atomic<poller*> source{nullptr};  // never null while the runtime runs
  platform::atomic<bool> forked{false};       // this is the child of a fork
  platform::atomic<bool> ending{false};       // exit() has been called: no M starts any more
  // Why a declared call that keeps its P begins in another way than usual; 0: it does not.
  enum kept_call : std::uint32_t {
    takes_no_more = 1,  // the monitor takes no Ps, because the kernel refuses its fence: the call hands its P over
    traced = 2,         // it is recorded (trace/trace.cc)
  };
  platform::atomic<std::uint32_t> kept_calls_differ{0};
  [[nodiscard]] bool ps_stay() const noexcept { return (kept_calls_differ.load(mo::relaxed) & takes_no_more) != 0; }
  settings config;

  // ---- queues ----
  alignas(64) shared_queue global;
  alignas(64) shared_queue returning;   // fibers that came back from a syscall without a P
  alignas(64) spilled_batches spilled;  // fibers that have not run yet

  // ---- the idle protocol (idle.cc) ----
  alignas(64) platform::atomic<int> idle_ps{0};
  platform::atomic<int> spinning{0};
  platform::atomic<bool> polling{false};         // an M is, or is about to be, in the blocking poll
  platform::atomic<std::int64_t> poll_until{0};  // until when; 0: not known yet
  platform::atomic<std::uint64_t> last_poll_ticks{0};
  platform::atomic<bool> someone_polls_now{false};  // a poll(0) is under way: other threads need not poll
  alignas(64) platform::spin_lock lock;
  processor* idle_p_list ABSL_GUARDED_BY(lock) = nullptr;
  machine* idle_m_list ABSL_GUARDED_BY(lock) = nullptr;
  int idle_m_count ABSL_GUARDED_BY(lock) = 0;
  std::uint64_t ps_taken ABSL_GUARDED_BY(lock) = 0;  // how many times a P has ceased to be idle
  bool closing ABSL_GUARDED_BY(lock) = false;        // Ms end instead of going to sleep

  // ---- start and shutdown ----
  std::mutex life;
  platform::atomic<int> threads_served{0};  // plain threads that wait for what only the runtime brings

  // ---- threads ----
  platform::atomic<int> threads{0};
  platform::atomic<int> threads_idle{0};
  platform::atomic<bool> threads_wanted{false};  // more threads are wanted now: work waits for one
  platform::atomic<bool> spare_wanted{false};    // one more thread is wanted at the monitor's next sweep
  platform::atomic<int> max_threads{limits::threads_max};
  platform::atomic<std::int64_t> idle_thread_ends_after_ns{0};

  // ---- counters that several threads write; none on a hot path ----
  platform::atomic<std::uint64_t> handoffs_predicted{0}, handoffs_unknown{0}, handoffs_hinted{0}, retakes{0},
      rescues{0}, polls{0}, threads_started{0}, thread_failures{0}, returned_slow{0}, slices_ended{0};
  platform::atomic<std::uint64_t> spawned_outside{0};  // fibers spawned without a P
  platform::atomic<std::uint64_t> strict_reports{0};   // places of calls that strict mode has seen block
  platform::atomic<std::uint64_t> next_id{1};

  // limits::procs_max of them, made at start and never freed; null before the start.
  processor* ps = nullptr;
};

// One per process. Constant-initialised, so it works in static initialisers; never destroyed.
union scheduler_storage {
  constexpr scheduler_storage() noexcept : value() {}
  ~scheduler_storage() {}
  scheduler value;
};
extern scheduler_storage the_scheduler_storage;
inline constexpr scheduler& the_scheduler = the_scheduler_storage.value;

// ---- queues (queues.cc); all require: in a section, with P p ----
void push_overflowing(processor* p, fiber* f) noexcept;
inline void push_local(processor* p, fiber* f) noexcept {  // to the tail; overflow goes to the global queue
  if (__builtin_expect(!p->queue.push(f), 0)) push_overflowing(p, f);
}
inline void push_next(processor* p, fiber* f) noexcept {  // goes first
  if (fiber* const before = p->queue.exchange_next(f)) push_local(p, before);
}
void spill(processor* p) noexcept;  // moves fibers that have not run yet off a ring that is full of them
// Returns true if fibers that wait their turn (they yielded, or were polled) belong at the end of the global queue:
// when it already holds some, or this ring is well filled.
[[nodiscard]] inline bool goes_global(const processor* p) noexcept {
  return !the_scheduler.global.empty() || p->queue.ring_size() >= run_queue::slots / 2;
}
void push_local_all(processor* p, fiber_list&& list) noexcept;
[[nodiscard]] fiber* pick_slow(machine* m, processor* p) noexcept;
// Returns the next fiber to run, without looking further than this P and the shared queues. Returns null if there is
// none, or if the turn was that of a fiber in place, which got the P: then m has no P any more.
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
// Takes work from the other Ps for p, which has none. Returns null if it sees none.
[[nodiscard]] fiber* steal(processor* p) noexcept;
// Returns true if the running fiber may hand on directly to one that it has readied; counts as a pick of runnext.
// Returns false when it is time for a slow pick.
[[nodiscard]] inline bool chain_goes_on(processor* p) noexcept {
  const std::uint32_t left = p->countdown.load(mo::relaxed) - 1;
  if (static_cast<std::int32_t>(left) <= 0 || !the_scheduler.returning.empty()) return false;
  p->countdown.store(left, mo::relaxed);
  p->chained.add();
  return true;
}
// Requires: the slice is used up, and the running fiber is about to switch. The fiber in runnext goes behind the
// others, and the chain ends with it.
void end_chain(machine* m) noexcept;
// Requires: must_give_way(), and the running fiber is about to switch. Ends its chain if the slice is used up. Returns
// the P whose next fiber it may switch to. Null: it has to leave for the native context.
[[nodiscard]] processor* give_way(machine* m) noexcept;
// Returns true if anything could run on P p.
[[nodiscard]] bool work_waits(const processor* p) noexcept;
[[nodiscard]] inline bool shared_work_waits() noexcept {
  const scheduler& s = the_scheduler;
  return !s.global.empty() || !s.returning.empty() || !s.spilled.empty();
}

// As make_runnable(), for a batch.
void make_runnable_all(machine* m, fiber_list&& list) noexcept;

// ---- idle.cc ----
[[nodiscard]] bool any_queue_has_work() noexcept;
// After work was published: if a P is idle and no M looks for work, makes an M look. Contains the fence between
// publishing and looking.
void wake_for_work() noexcept;
// Looks for work, with a P, until there is some; goes idle if there is none. Returns a fiber, or null when the M has to
// look at its state again (it has no P). Requires: on the native context.
[[nodiscard]] fiber* find_work(machine* m) noexcept;
// Waits without a P until the M is given one, or takes an idle one. Returns false if the thread is to end. Requires: on
// the native context.
[[nodiscard]] bool wait_for_p(machine* m) noexcept;
// Takes an idle P for m. Returns false if there is none. Requires: in a section.
[[nodiscard]] bool acquire_idle_p(machine* m) noexcept;
// Returns true if an M looks for work, or sleeps and can be woken to do so.
[[nodiscard]] inline bool somebody_could_serve() noexcept {
  const scheduler& s = the_scheduler;
  return s.threads_idle.load(mo::relaxed) > 0 || s.polling.load(mo::relaxed) || s.spinning.load(mo::relaxed) > 0;
}
// M m looks around for its busy P: due timers, and the network if no thread has polled for a while (queues.cc).
void look_around(machine* m, processor* p) noexcept;
// Gives m's own P p to others: to an M that waits if there is work, or to the idle Ps. m has no P afterwards. Requires:
// in a section.
void release_p(machine* m, processor* p, trace::left why) noexcept;
// Finds a new M for a P that no M owns, or puts the P on the idle list.
void handoff_p(processor* p) noexcept;
void put_idle(processor* p) noexcept;
// true: from here on Ms end instead of going to sleep, and sleeping Ms are woken to end. false: Ms sleep again.
void close_machines(bool closing) noexcept;
// Rebuilds the idle list for another number of Ps. Busy Ps beyond it go when they are next seen.
void change_procs(int n) noexcept;
namespace detail {
void cover_timer(std::int64_t when) noexcept;
}
// Requires: the timer at `when` belongs to an idle P. If the sleeper in the poller would sleep past `when`, wakes it.
void break_poll_before(std::int64_t when) noexcept;
// The same for a busy P, which may be late to run the timer: the sleeper in the poller wakes some time after `when`.
inline void cover_busy_timer(std::int64_t when) noexcept {
  if (the_scheduler.procs.load(mo::relaxed) > 1) detail::cover_timer(when);  // with one P no other M could run it
}
// At the end of a call m has got a P that was idle. Returns true if other work waits for that P and no other M is there
// to serve it (no M sleeps, none looks for work). Looks at timers and at the network, too.
[[nodiscard]] bool others_wait_for_p(machine* m) noexcept;
// For the monitor, while no thread can be had: what waits with an idle P goes where every M finds it, and fibers that
// wait in place get the P.
void share_out_idle_ps() noexcept;

// Hands m's own P to an M that waits; m has none afterwards. Requires: in a section.
void pass_p_on(machine* m, processor* p, machine* to) noexcept;
// Returns an idle P, which belongs to the caller from now on. Returns null if it sees none.
[[nodiscard]] processor* pop_idle_p() noexcept;

// ---- timer.cc ----
// Runs the due timers of `mine`, those of every idle P (retired ones too), whose owners are not there to do it, and
// those of busy Ps that are late; no more of them than one look may run (timer.cc). Returns true if that left some.
bool run_all_due_timers(processor* mine, fiber_list& out) noexcept;
// The same for p alone, by a thread that has no P. The fibers that the timers ready go into `out`.
void run_due_timers(processor* p, std::int64_t now, fiber_list& out) noexcept;

// ---- thread_lock.cc: fibers that stay on their thread while they wait ----
// Returns how many Ms are locked to a fiber.
[[nodiscard]] int threads_locked() noexcept;
// There is, or may be, one more thread. Requires: not in a section.
void thread_added() noexcept;

// Makes a fiber runnable. Requires: nothing else has a hold on it. m: the calling M, in a section, or null.
inline void make_runnable(machine* m, fiber* f) noexcept {
  if (__builtin_expect(f->in_place, 0)) {
    ready_in_place(f);
    return;
  }
  processor* const p = m != nullptr ? m->my_p() : nullptr;
  if (__builtin_expect(p != nullptr, 1)) {
    push_next(p, f);
    // With one P, which is this M's own, there is no other M to wake.
    if (the_scheduler.procs.load(mo::relaxed) == 1) return;
  } else {
    the_scheduler.global.push(f);
  }
  wake_for_work();
}

// The same for a fiber that has not run yet. Requires: m is in a section.
inline void make_spawned_runnable(machine* m, fiber* f) noexcept {
  if (processor* const p = m->my_p(); p != nullptr && __builtin_expect(++p->spawned >= limits::spill_batch, 0)) {
    spill(p);
  }
  make_runnable(m, f);
}

// ---- machine.cc ----
// The monitor starts the first few threads, and later those that are wanted.
void start_first_threads() noexcept;
void end_machines() noexcept;          // for shutdown, when nothing starts Ms any more: all have retired afterwards
void join_ended_machines() noexcept;   // waits until the threads of the retired Ms are gone
void leave_ended_machines() noexcept;  // at exit: nothing will join them
bool start_wanted_threads() noexcept;  // returns false if a thread was needed and cannot be had now
void want_thread() noexcept;

// ---- poller.cc ----
void install_first_poller() noexcept;
// Gives the free stacks that Ps keep to the depot. Requires: no M has a P.
void release_stack_caches() noexcept;

// ---- monitor.cc ----
void start_monitor() noexcept;
void end_monitor() noexcept;         // and joins it
void wake_monitor() noexcept;        // to start a thread
void monitor_note_busy() noexcept;   // a P was taken off the idle list: ends the monitor's long sleep
void monitor_watch_call() noexcept;  // a call of unknown length has begun and kept its P

}  // namespace baton::sched
