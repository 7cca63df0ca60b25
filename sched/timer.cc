// The life of a timer: free -> armed -> (firing | cancelled) -> free, in the low bits of the node's
// word; the rest is a generation that changes whenever the node is freed, so that a handle of an
// earlier life is recognised.
//
//   arm      on the heap of the caller's P (of P 0 for a plain thread), under that heap's lock
//   fire     by whoever looks: armed -> firing, then the callback without any lock, then free
//   cancel   armed -> cancelled. On the caller's own P the node is removed at once; elsewhere it stays
//            and is dropped when it is popped or swept: nobody's heap is touched from afar
// Exactly one of fire and cancel wins the compare-and-swap. A cancel that finds firing waits for the
// callback's end, which is near: callbacks run in runtime sections and never block. It looks for it awhile; then,
// because the thread that runs the callback may wait for this CPU, it sleeps, outside its section.
#include <baton/sched/timer.h>

#include <baton/sched/fatal.h>
#include <baton/sched/scheduler.h>

namespace baton::sched {

timer_handle arm_timer(std::int64_t when_ns, timer_function fn, void* arg, std::uint64_t seq) {
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
        // Our own P looks at its heap before it sleeps. Anybody else's may sleep already.
        if (p == nullptr && first) {
          platform::full_fence();  // timer, then look; pairs with those between the idle P and its heap
          if (the_scheduler.ps[0].idle.load(mo::relaxed)) break_poll_before(when_ns);
        }
        if (section.m() == nullptr) runtime_needed();  // a plain thread: it is in no section
        return handle;
      }
    }
    heap->grow();  // outside the section: it allocates
  }
}

bool cancel_timer(timer_handle timer) noexcept {
  if (!timer) return false;
  timer_node* const n = timer.node;
  std::uint64_t word = timer.generation << 2 | timer_node::armed;
  {
    const runtime_section section;
    processor* const p = section.p();
    if (p != nullptr && n->home == &p->timers) {
      if (n->home->cancel(n, timer.generation)) return true;
      word = n->word.load(mo::acquire);
    } else if (n->word.compare_exchange_strong(word, timer.generation << 2 | timer_node::cancelled, mo::acq_rel,
                                               mo::acquire)) {
      n->home->note_cancelled();
      return true;
    }
  }
  constexpr int looks = 1000;
  for (int i = 0; word == (timer.generation << 2 | timer_node::firing); ++i) {
    if (i < looks) {
      platform::cpu_relax();
    } else {
      n->home->await_fired(n, timer.generation);  // the thread that runs the callback was descheduled
    }
    word = n->word.load(mo::acquire);  // pairs with the release of recycle()
  }
  return false;
}

void run_all_due_timers(processor* mine, fiber_list& out) noexcept {
  scheduler& s = the_scheduler;
  std::int64_t now = 0;
  for (int i = 0; i < s.procs_ever.load(mo::acquire); ++i) {
    processor& p = s.ps[i];
    if (p.timers.size() == 0 || (&p != mine && !p.idle.load(mo::relaxed))) continue;
    if (now == 0) now = platform::now_ns();
    if (p.timers.earliest() <= now) run_due_timers(&p, now, out);
  }
}

void run_due_timers(processor* p, std::int64_t now, fiber_list& out) noexcept {
  while (timer_node* const n = p->timers.pop_due(now)) {
    n->fn(n->arg, n->seq, out);
    p->timers.fired(n);
  }
}

}  // namespace baton::sched
