// The life of a timer: free -> armed -> (firing | cancelled) -> free, in the low bits of the node's word. The rest of
// the word is a generation that changes whenever the node is freed, so that a handle of an earlier life is recognised.
//
//   arm      on the heap of the caller's P (of P 0 for a plain thread), under that heap's lock
//   fire     by the thread that looks: armed -> firing, then the callback without any lock, then free
//   cancel   armed -> cancelled. On the caller's own P the node is removed at once. Elsewhere it stays and is dropped
//            when it is popped or swept: cancel takes no node off another P's heap
// Exactly one of fire and cancel wins the compare-and-swap. A cancel that finds firing waits for the callback's end,
// which is near: callbacks run in runtime sections and never block. It polls for a while. Then it sleeps, outside its
// section, because the thread that runs the callback may be waiting for this CPU.
//
// One look runs a limited number of timers. A section that ran 300,000 of them would keep its P for that long from the
// fibers that are ready already, and these would wait again behind the 300,000 in the queue. So the looks feed the
// queue as fast as it is worked off: up to due_timers_at_once less what waits in it. But each look runs some, or a
// queue that is never short would stop the clock.
#include <baton/sched/timer.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/scheduler.h>

#include <algorithm>

namespace baton::sched {

namespace {

// Returns how many timers a look may still run, on behalf of a thread whose ready fibers go to p's queue (null: to the
// global queue).
int allowance(const processor* p) noexcept {
  const std::size_t queued = the_scheduler.global.size() + (p != nullptr ? p->queue.ring_size() : 0);
  const auto most = static_cast<std::size_t>(limits::due_timers_at_once);
  return std::max(limits::due_timers_at_least, static_cast<int>(most - std::min(queued, most)));
}

// Returns true if that left some.
bool run_due_timers(processor* p, std::int64_t now, int& left, fiber_list& out) noexcept {
  std::uint32_t fired = 0;
  while (timer_node* const n = p->timers.pop_due(now, left)) {
    n->fn(n->arg, n->seq, out);
    p->timers.fired(n);
    ++fired;
  }
  if (trace::on() && fired > 0) trace::record_here({.what = trace::kind::timers, .extra = fired}, p);
  return left <= 0 && p->timers.earliest() <= now;
}

}  // namespace

timer_handle arm_timer(std::int64_t when_ns, timer_function fn, void* arg, std::uint64_t seq, bool then_parks) {
  if (!is_running()) start(settings{});
  for (;;) {
    timer_heap* heap;
    timer_handle handle;
    {
      const runtime_section section;
      processor* const p = section.p();
      heap = p != nullptr ? &p->timers : &the_scheduler.ps[0].timers;
      bool first = false;
      handle.node = heap->arm(when_ns, fn, arg, seq, &handle.generation, &first);
      if (handle.node != nullptr) {
        // This M's own P looks at its heap before it sleeps, but may be busy when the timer is due. The P of
        // another M may be idle.
        if (first && p == nullptr) {
          platform::full_fence();  // timer, then look; pairs with the one in look_beside_idle()
          if (the_scheduler.ps[0].idle.load(mo::relaxed)) {
            break_poll_before(when_ns);
          } else {
            cover_busy_timer(when_ns);
          }
        } else if (first && (!then_parks || work_waits(p))) {
          cover_busy_timer(when_ns);
        }
        if (section.m() == nullptr) runtime_needed();  // a plain thread: it is in no section
        return handle;
      }
    }
    heap->grow();  // outside the section: it allocates
  }
}

namespace {

// Requires: outside a section, so that the P is not kept from others meanwhile.
void wait_for_callback(const timer_node* n, std::uint64_t generation) noexcept {
  constexpr int looks = 1000;
  // acquire: pairs with the release of recycle().
  for (int i = 0; n->word.load(mo::acquire) == (generation << 2 | timer_node::firing); ++i) {
    if (i < looks) {
      platform::cpu_relax();
    } else {
      n->home->await_fired(n, generation);  // the thread that runs the callback was descheduled
    }
  }
}

// None is fired in the child of a fork, and a callback that was under way is not: there is nothing to wait for. No heap
// is touched, whose lock any thread may hold.
bool cancel_in_fork_child(timer_node* n, std::uint64_t generation) noexcept {
  std::uint64_t word = generation << 2 | timer_node::armed;
  return n->word.compare_exchange_strong(word, generation << 2 | timer_node::cancelled, mo::relaxed, mo::relaxed);
}

}  // namespace

bool cancel_timer(timer_handle timer) noexcept {
  if (!timer) return false;
  timer_node* const n = timer.node;
  if (the_scheduler.forked.load(mo::relaxed)) [[unlikely]]
    return cancel_in_fork_child(n, timer.generation);
  {
    const runtime_section section;
    processor* const p = section.p();
    std::uint64_t word = timer.generation << 2 | timer_node::armed;
    if (p != nullptr && n->home == &p->timers) {
      if (n->home->cancel(n, timer.generation)) return true;
    } else if (n->word.compare_exchange_strong(word, timer.generation << 2 | timer_node::cancelled, mo::acq_rel,
                                               mo::acquire)) {
      n->home->note_cancelled();
      return true;
    }
  }
  wait_for_callback(n, timer.generation);
  return false;
}

bool run_all_due_timers(processor* mine, fiber_list& out) noexcept {
  scheduler& s = the_scheduler;
  std::int64_t now = 0;
  int left = -1;  // not known yet
  bool more = false;
  for (int i = 0; i < s.procs_ever.load(mo::acquire); ++i) {
    processor& p = s.ps[i];
    if (p.timers.size() == 0) continue;
    if (now == 0) now = platform::now_ns();
    // The owner of a busy P mostly runs them itself.
    const bool ours = &p == mine || p.idle.load(mo::relaxed);
    const std::int64_t due = ours ? now : now - limits::busy_timer_slack_ns;
    if (p.timers.earliest() > due) continue;
    if (left < 0) left = allowance(mine);
    if (run_due_timers(&p, due, left, out)) more = true;
  }
  return more;
}

void run_due_timers(processor* p, std::int64_t now, fiber_list& out) noexcept {
  int left = allowance(nullptr);
  static_cast<void>(run_due_timers(p, now, left, out));
}

}  // namespace baton::sched
