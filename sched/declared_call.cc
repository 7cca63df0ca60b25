// How a P leaves an M whose fiber is in a declared call, and how the fiber gets going again.
//
// The fast path is that of a site that is expected to be short: a load of the site's score and the baton's plain
// stores. begin_ and end_ are out of line and read the thread-local themselves, so a call pays for two function calls
// and nothing else. They never switch between the read and the use of what was read.
//
// Leaving at entry (the call is expected to block):
//   1. enter a section;
//   2. release_p: notice gets no_p, so no revoker looks at this M any more;
//   3. handoff_p: the P goes to an idle M if there is work, else to the idle list (where the M that sleeps in the
//      poller finds it);
//   4. leave to place::syscall.
// Leaving later: the monitor takes the P (sweep.cc), by the baton's protocol. It does not when the kernel refuses the
// barrier that this needs: then every call but those with `wont_block` hands the P over at entry.
//
// Coming back, after end_syscall found notice != 0:
//   1. enter a section and handle the notice: if a revoker only asked, it is refused, and the P is still here: done;
//   2. there is no P: any idle P will do. But if others wait for that P, and there is no other thread to serve them,
//      the fiber leaves as in 3 and queues behind them, and its M goes on with the P (others_wait_for_p()). A fiber in
//      place cannot leave: it gives way at its next call that may switch;
//   3. no P is idle: the fiber leaves for the native context, and the after-action queues it in `returning` (not
//      before: another M could run it while it is still on its stack); then the M sleeps. Busy Ps look at `returning`
//      at every second pick, so the fiber runs again within microseconds. The fiber of a pinned call, or one that is
//      locked to its thread, queues there without leaving;
//   4. the time slice is used up: the fiber gives way, as at any call that may switch.
//
// Foreign calls are pinned calls with two differences. After exit() has stopped the fibers, or in the child of a fork,
// they go on without a P and without a section, where other calls stop the thread or the process. And code that knows
// nothing of baton may leave such a call by a jump (siglongjmp out of a handler, as curl's resolver does it): the call
// is then still counted. So the M keeps the frame that began the call. A later call whose frame is not below that one,
// on the same stack, shows that the former call was abandoned, and ends it first.
#include <baton/sched/declared_call.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/sampling.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/switch.h>
#include <baton/sched/this_machine.h>
#include <baton/sched/thread_lock.h>

#include <cerrno>

namespace baton::sched {

namespace {

// A call is long if it takes as long as a handoff costs all threads together.
constexpr std::int64_t long_call_ns = 20'000;

void queue_returning(machine*, void* arg) noexcept {
  the_scheduler.returning.push(static_cast<fiber*>(arg));
  wake_for_work();
}

// The P goes on to the others, so no thread need be woken for this fiber.
void queue_behind(machine*, void* arg) noexcept { the_scheduler.global.push(static_cast<fiber*>(arg)); }

machine* leave_to_queue(machine* m, fiber* self, after_action queue) noexcept {
  if (trace::on()) trace::queue_return(m, self);
  return switch_to_native(m, self, queue, self);
}

// The end of a call whose P is gone. Requires: a section. At the end the M has a P. Returns the M that the fiber is on
// then. Switches.
machine* get_p_back(machine* m, fiber* self, bool in_place) noexcept {
  if (acquire_idle_p(m)) {
    const bool leaves = !in_place && m->baton.scatters();
    if (!leaves && !others_wait_for_p(m)) return m;
    if (!in_place) return leave_to_queue(m, self, queue_behind);
    if (!self->in_place) m->baton.tell(baton_word::slice_over);
    return m;
  }
  the_scheduler.returned_slow.fetch_add(1, mo::relaxed);
  if (!in_place) return leave_to_queue(m, self, queue_returning);
  return_in_place(m, self);
  return m;
}

// The cause as events name it: a call that begins, and a P that is given up.
template <class Traced>
constexpr Traced traced_as(handoff_cause cause) noexcept {
  return static_cast<Traced>(static_cast<std::uint8_t>(cause) + 1);
}
static_assert(traced_as<trace::entry>(handoff_cause::predicted) == trace::entry::predicted &&
              traced_as<trace::entry>(handoff_cause::unknown) == trace::entry::unknown &&
              traced_as<trace::entry>(handoff_cause::hinted) == trace::entry::hinted);
static_assert(traced_as<trace::left>(handoff_cause::predicted) == trace::left::predicted &&
              traced_as<trace::left>(handoff_cause::unknown) == trace::left::unknown &&
              traced_as<trace::left>(handoff_cause::hinted) == trace::left::hinted);

// Hands the P over if that is worth it: for `unknown` only if work waits, for the others always. Returns true if it
// did. Requires: a section; ends it.
bool leave_section_at_entry(machine* m, handoff_cause cause) noexcept {
  scheduler& s = the_scheduler;
  processor* const p = m->my_p();
  // Where no P is taken any more, work that comes later would wait for the end of the call.
  const bool gives = p != nullptr && (cause != handoff_cause::unknown || work_waits(p) || s.ps_stay());
  if (trace::on()) trace::call_begins(m, gives ? traced_as<trace::entry>(cause) : trace::entry::kept);
  if (gives) {
    switch (cause) {
      case handoff_cause::predicted: s.handoffs_predicted.fetch_add(1, mo::relaxed); break;
      case handoff_cause::unknown: s.handoffs_unknown.fetch_add(1, mo::relaxed); break;
      case handoff_cause::hinted: s.handoffs_hinted.fetch_add(1, mo::relaxed); break;
    }
    release_p(m, p, traced_as<trace::left>(cause));
  }
  m->baton.begin_syscall();
  if (!gives && p != nullptr) monitor_watch_call();
  return gives;
}

// The same. Begins the section itself.
bool leave_at_entry(machine* m, handoff_cause cause) noexcept {
  enter_runtime(m);
  return leave_section_at_entry(m, cause);
}

void begin_timed(machine* m, handoff_cause cause) noexcept {
  m->call_handed_over = leave_at_entry(m, cause);
  m->call_began = platform::ticks();  // not before: the handoff takes as long as a call that is "long"
}

// A short call that keeps its P. One in 64 is timed. The number of the visit selects it, spread so that it does not
// matter which other visits the program makes in between (every second one, say).
inline void begin_sampled(machine* m) noexcept {
  if (__builtin_expect(one_in_64(m->baton.begin_syscall()), 0)) {
    m->call_began = platform::ticks();
    m->call_handed_over = false;
  }
}

// Begins a call of a site that keeps its P, because the monitor takes the P when the call turns out to be long. When
// the monitor takes none any more, one such call would keep all other fibers waiting, perhaps for ever (a read from a
// pipe that one of them fills). Then each call hands its P over.
//
// Requires: kept_calls_differ is not 0.
__attribute__((noinline)) void begin_kept_differently(machine* m) noexcept {
  if (the_scheduler.ps_stay()) {
    begin_timed(m, handoff_cause::unknown);
    return;
  }
  trace::call_begins(m, trace::entry::kept);
  begin_sampled(m);
}

inline void begin_kept(machine* m) noexcept {
  if (__builtin_expect(the_scheduler.kept_calls_differ.load(mo::relaxed) != 0, 0)) {
    begin_kept_differently(m);
    return;
  }
  begin_sampled(m);
}

// How long the call that ends now has taken, for its site.
struct call_timing {
  call_site* const site;
  const bool timed;
  const std::uint64_t took;
  const bool handed_over;

  // Takes the timing from the M, whose next call begins without one.
  [[nodiscard]] static call_timing take(machine* m) noexcept {
    const bool timed = m->call_began != 0;
    const std::uint64_t took = timed ? platform::ticks() - m->call_began : 0;
    m->call_began = 0;
    return {m->call.load(mo::relaxed), timed, took, timed && m->call_handed_over};
  }
  // lost: the P was gone at the end. If it was taken from the call, the monitor has told the site at once.
  void teach(bool lost, const void* from) const noexcept {
    if (site != nullptr && timed && (!lost || handed_over)) {
      site->learn(took >= platform::ticks_of_ns(long_call_ns), handed_over, from);
    }
  }
};

// Returns true if the call is the outermost: the depth goes from 0 to 1. This is a branch and a constant: an increment
// here and a decrement in end_call() would make each pair wait twice for the store before it (2 ns of 6).
inline bool outermost(machine* m) noexcept {
  fiber* const f = m->my_fiber();
  if (__builtin_expect(f->syscall_depth != 0, 0)) {
    ++f->syscall_depth;
    return false;
  }
  f->syscall_depth = 1;
  return true;
}

// The P is gone, or was asked for, or the call was timed. Returns true if the P is gone.
__attribute__((noinline)) bool end_slow(machine* m, bool notice, stay where, const void* from) noexcept {
  const call_timing timing = call_timing::take(m);
  bool lost = false;
  if (notice) {
    enter_runtime(m);
    fiber* const self = m->my_fiber();
    const bool in_place = where == stay::here || self->in_place;
    lost = m->my_p() == nullptr;
    if (trace::on()) trace::call_ends(m, timing.site, lost);
    if (lost) {
      m = get_p_back(m, self, in_place);
    } else if (in_place && m->baton.slice_is_over()) {
      yield_in_place(m, self);
    } else if (!in_place && m->baton.scatters()) {
      m = leave_to_queue(m, self, queue_behind);
    }
    leave_runtime(m);
    if (!in_place) yield_if_due();  // a loop of short calls may have no other place to give way
  }
  timing.teach(lost, from);
  return lost;
}

}  // namespace

__attribute__((noinline)) void begin_call(call_site& site) noexcept {
  machine* const m = the_machine;
  if (m == nullptr || !outermost(m)) return;
  m->call.store(&site, mo::relaxed);
  switch (site.expect()) {
    case call_site::verdict::is_short: begin_kept(m); break;
    case call_site::verdict::blocks: begin_timed(m, handoff_cause::predicted); break;
    case call_site::verdict::unknown: begin_timed(m, handoff_cause::unknown); break;
  }
}

__attribute__((noinline)) void begin_call_here() noexcept {
  machine* const m = the_machine;
  if (m == nullptr || !outermost(m)) return;
  call_site& site = call_site::at(__builtin_return_address(0));
  m->call.store(&site, mo::relaxed);
  if (__builtin_expect(site.blocks(), 0)) {
    begin_timed(m, handoff_cause::predicted);
  } else {
    begin_kept(m);
  }
}

__attribute__((noinline)) void begin_blocking_call() noexcept {
  machine* const m = the_machine;
  if (m == nullptr || !outermost(m)) return;
  m->call.store(nullptr, mo::relaxed);
  leave_at_entry(m, handoff_cause::hinted);
}

__attribute__((noinline)) bool begin_short_call(call_site& site) noexcept {
  machine* const m = the_machine;
  if (m == nullptr || !outermost(m)) return false;
  m->call.store(&site, mo::relaxed);
  const std::uint32_t notice = m->baton.notice();
  if (__builtin_expect(notice != 0, 0) && trace::on()) trace::call_begins(m, trace::entry::kept);
  m->baton.begin_syscall();
  return (notice & baton_word::no_p) == 0;
}

__attribute__((noinline)) bool end_call(stay where) noexcept {
  machine* const m = the_machine;
  if (m == nullptr) return false;
  fiber* const f = m->my_fiber();
  if (__builtin_expect(f->syscall_depth != 1, 0)) {
    if (f->syscall_depth == 0) fatal("exit_syscall without enter_syscall");
    --f->syscall_depth;
    return false;
  }
  f->syscall_depth = 0;
  const bool notice = !m->baton.end_syscall();
  if (__builtin_expect(!notice && m->call_began == 0, 1)) return false;
  return end_slow(m, notice, where, __builtin_return_address(0));
}

namespace {

// Requires: user state, or a declared call. Returns true if that is a call which a jump has left.
bool is_abandoned(const machine* m, const fiber* f, const void* frame) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(frame);
  const auto before = reinterpret_cast<std::uintptr_t>(m->foreign_frame);
  // A handler on an alternate stack is not above the call that it interrupted.
  return before != 0 && f->syscall_depth == 1 && at >= before && at < reinterpret_cast<std::uintptr_t>(f->stack.top);
}

__attribute__((noinline)) void begin_foreign_timed(machine* m, handoff_cause cause) noexcept {
  const int saved = errno;
  // Where exit() has stopped the fibers, no others run that a P would be handed over for.
  m->call_handed_over = enter_unless_stopped(m, place::syscall) && leave_section_at_entry(m, cause);
  m->call_began = platform::ticks();
  errno = saved;
}

// The P is gone. Requires: a section. Returns false, outside a section, if exit() has stopped the fibers.
bool get_p_back_unless_stopped(machine* m, fiber* self) noexcept {
  if (!acquire_idle_p(m)) {
    the_scheduler.returned_slow.fetch_add(1, mo::relaxed);
    return return_in_place_unless_stopped(m, self);
  }
  // As in get_p_back().
  if (!self->in_place && others_wait_for_p(m)) m->baton.tell(baton_word::slice_over);
  return true;
}

__attribute__((noinline)) void end_foreign_slow(machine* m, bool notice) noexcept {
  const int saved = errno;
  const call_timing timing = call_timing::take(m);
  bool lost = false;
  if (notice && enter_unless_stopped(m, place::user)) {
    fiber* const self = m->my_fiber();
    lost = m->my_p() == nullptr;
    if (trace::on()) trace::call_ends(m, timing.site, lost);
    bool in_section = true;
    if (lost) {
      in_section = get_p_back_unless_stopped(m, self);
    } else if (m->baton.slice_is_over()) {
      in_section = yield_in_place_unless_stopped(m, self);
    }
    if (in_section) leave_runtime(m);
  }
  timing.teach(lost, __builtin_return_address(0));
  errno = saved;
}

inline void end_foreign(machine* m, fiber* f) noexcept {
  m->foreign_frame = nullptr;
  platform::compiler_fence();
  f->syscall_depth = 0;
  const bool notice = !m->baton.end_syscall();
  if (__builtin_expect(notice || m->call_began != 0, 0)) end_foreign_slow(m, notice);
}

inline bool in_user_code(const machine* m, const fiber* f) noexcept {
  return f != nullptr && f->syscall_depth == 0 && m->baton.is_at() == place::user;
}

}  // namespace

__attribute__((noinline)) bool foreign_call_counts() noexcept {
  machine* const m = the_machine;
  return m != nullptr && in_user_code(m, m->my_fiber());
}

__attribute__((noinline)) bool begin_foreign_call(call_site& site) noexcept {
  machine* const m = the_machine;
  if (m == nullptr) return false;
  fiber* const f = m->my_fiber();
  const void* const frame = __builtin_frame_address(0);
  if (__builtin_expect(!in_user_code(m, f), 0)) {
    if (f == nullptr || m->baton.is_at() != place::syscall || !is_abandoned(m, f, frame)) return false;
    end_foreign(m, f);
  }
  f->syscall_depth = 1;
  platform::compiler_fence();  // a handler that calls a wrapper from here on must not take this call for none
  m->foreign_frame = frame;
  m->call.store(&site, mo::relaxed);
  switch (site.expect()) {
    case call_site::verdict::is_short:
      if (__builtin_expect(the_scheduler.ps_stay(), 0)) {
        begin_foreign_timed(m, handoff_cause::unknown);
      } else {
        if (trace::on()) trace::call_begins(m, trace::entry::kept);
        begin_sampled(m);
      }
      break;
    case call_site::verdict::blocks: begin_foreign_timed(m, handoff_cause::predicted); break;
    case call_site::verdict::unknown: begin_foreign_timed(m, handoff_cause::unknown); break;
  }
  return true;
}

__attribute__((noinline)) void end_foreign_call() noexcept {
  machine* const m = the_machine;
  // A fiber that has called exit() meanwhile, in a handler, is a plain thread. In the child of a fork there is nothing
  // to end either.
  if (m != nullptr && m->foreign_frame != nullptr) end_foreign(m, m->my_fiber());
}

void end_abandoned_call() noexcept {
  machine* const m = this_machine();
  if (m != nullptr && m->foreign_frame != nullptr && m->my_fiber()->syscall_depth == 1) end_foreign(m, m->my_fiber());
}

void hand_over_within_call(machine* m) noexcept {
  enter_runtime(m);
  if (processor* const p = m->my_p()) {
    the_scheduler.handoffs_hinted.fetch_add(1, mo::relaxed);
    release_p(m, p, trace::left::hinted);
  }
  m->baton.begin_syscall();
}

}  // namespace baton::sched
