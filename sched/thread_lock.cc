// Fibers in place: fibers that keep their thread while they wait, because they are locked to it (lock_os_thread) or
// return from a pinned call. Such a fiber never leaves its stack: what waits is the thread, on its machine's wake word,
// and what moves is the P.
//
//   waiting      The M gives its P away like an M whose call blocks, and sleeps in await_p().
//   readied      ready_in_place(): an idle P is handed to the fiber's M at once. If there is none, the fiber queues in
//                `returning`. What it queues for is the P that its turn brings, not a thread.
//   its turn     The M that picks the fiber passes its own P on to the fiber's M (pass_p_on), and goes idle. Or a P
//                becomes idle while no M is there that could pick: it is handed to the fiber's M (idle.cc,
//                serve_in_place).
//
// So run queues never hold a fiber in place, thieves never see one, and the paths of ordinary fibers pay for them with
// one predictable branch in ready() and park().
//
// Exactly once: a fiber in place is in at most one queue, or with the thread that readied it, so its M is handed at
// most one P per wait. The M may be handed a P while it is still about to give its own away (the word of a park says
// parked before that): it then finds the other P at once.
//
// Both sides spin a little before they sleep, the fiber's M and the M that passed its P on: they are likely to change
// places again at once, and a futex wake costs more than all the rest.
//
// A fiber that ends while locked takes its thread with it, as in Go: the program that locked it had reasons
// (namespaces, credentials) not to let other fibers run there.
//
// A locked fiber that waits keeps its thread from the others for that long, and may wait for one of them. So one thread
// is always not locked, unless max_threads is 1: a fiber that would lock the last one asks for one more thread, and
// waits until it has come or another fiber has unlocked its own. Otherwise locked fibers could use up the threads, and
// nothing could continue. If the system refuses the thread, the monitor tries again as long as a fiber waits. At
// max_threads it need not, because raising the limit asks once more.
#include <baton/sched/thread_lock.h>

#include <baton/sched/fiber.h>
#include <baton/sched/handoff.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/spawn.h>
#include <baton/sched/waiter.h>

namespace baton::sched {

namespace {

// The fibers that are locked to a thread, and those that wait until they may be.
class locked_threads {
 public:
  // Switches.
  void add() noexcept {
    waiter self;
    {
      platform::lock_guard guard(lock_);
      if (waiting_.empty() && has_room()) {
        count_.store(count() + 1, mo::relaxed);
        return;
      }
      self.prepare(wait_reason::thread_to_lock);
      waiting_.push_back(self);
      some_wait_.store(true, mo::relaxed);
    }
    want_thread();
    self.wait();
  }
  void remove() noexcept {
    {
      platform::lock_guard guard(lock_);
      count_.store(count() - 1, mo::relaxed);
    }
    admit();
  }
  // Admits the fibers that may be locked now.
  void admit() noexcept {
    for (;;) {
      waiter* w = nullptr;
      {
        platform::lock_guard guard(lock_);
        if (waiting_.empty()) return;
        if (has_room()) {
          w = waiting_.claim_front(waiter::signalled);  // no other thread claims it
          count_.store(count() + 1, mo::relaxed);
          some_wait_.store(!waiting_.empty(), mo::relaxed);
        }
      }
      if (w == nullptr) {
        want_thread();
        return;
      }
      ready(w->who());
    }
  }
  [[nodiscard]] int count() const noexcept { return count_.load(mo::relaxed); }
  // relaxed: a fiber that comes to wait calls want_thread() after it has set this, which orders the two.
  [[nodiscard]] bool some_wait() const noexcept { return some_wait_.load(mo::relaxed); }

 private:
  [[nodiscard]] bool has_room() const noexcept {
    const scheduler& s = the_scheduler;
    return count() + 1 < s.threads.load(mo::relaxed) || s.max_threads.load(mo::relaxed) == 1;
  }

  platform::spin_lock lock_;
  waiter_list waiting_ ABSL_GUARDED_BY(lock_);
  platform::atomic<int> count_{0};           // changed under the lock
  platform::atomic<bool> some_wait_{false};  // waiting_ is not empty; changed under the lock
};

constinit locked_threads locked;

// Requires: in a section; ends it. The P, if there is one, goes to others.
void give_p(machine* m) noexcept {
  if (processor* const p = m->my_p()) release_p(m, p, trace::left::in_place);
  m->baton.leave(place::syscall);  // to the others it is a thread that sleeps without a P
}

// The same. Then the thread waits for another P.
void give_p_and_wait(machine* m) noexcept {
  give_p(m);
  await_p(m);
}

// The same, for f's turn in that queue. f is in place for that long, whether it is locked or not.
void wait_in(shared_queue& queue, machine* m, fiber* f) noexcept {
  f->in_place = true;
  if (trace::on()) trace::queue_return(m, f);
  queue.push(f);
  wake_for_work();
  give_p_and_wait(m);
  if (trace::on()) trace::run(m, f);
  f->in_place = f->thread_locks != 0;
}

// The same, until exit() stops the fibers: then it returns false. f is still in the queue, and stays in place, because
// a thread that has not stopped yet may take it from there.
bool wait_unless_stopped_in(shared_queue& queue, machine* m, fiber* f) noexcept {
  f->in_place = true;
  if (trace::on()) trace::queue_return(m, f);
  queue.push(f);
  wake_for_work();
  give_p(m);
  if (!await_p_unless_stopped(m)) return false;
  if (trace::on()) trace::run(m, f);
  f->in_place = f->thread_locks != 0;
  return true;
}

// Returns true if the fiber has to wait for its turn. Otherwise no other fiber does.
bool should_yield(machine* m) noexcept {
  m->baton.clear_slice();
  processor* const p = m->my_p();
  return p == nullptr || work_waits(p);
}

}  // namespace

int threads_locked() noexcept { return locked.count(); }
void thread_added() noexcept { locked.admit(); }

void lock_thread() noexcept {
  fiber* const f = current_fiber();
  if (f == nullptr) return;
  if (f->thread_locks == 0) locked.add();
  ++f->thread_locks;
  f->in_place = true;
}

void unlock_thread() noexcept {
  fiber* const f = current_fiber();
  if (f == nullptr) return;
  if (f->thread_locks == 0) fatal("unlock_os_thread without lock_os_thread");
  if (--f->thread_locks != 0) return;
  f->in_place = false;
  locked.remove();
}

void locked_thread_ends() noexcept { locked.remove(); }
bool thread_to_lock_is_wanted() noexcept { return locked.some_wait(); }

void park_in_place(machine* m, fiber* f) noexcept {
  if (trace::on()) trace::park(m, f);
  if (!f->word.commit()) {  // woken already
    if (trace::on()) trace::record(m, {.what = trace::kind::unpark, .detail = 1, .subject = f->id});
    return;
  }
  enter_runtime(m);
  m->baton.clear_slice();
  give_p_and_wait(m);
  if (trace::on()) trace::run(m, f);
  leave_runtime(m);
}

void yield_in_place(machine* m, fiber* f) noexcept {
  if (should_yield(m)) wait_in(the_scheduler.global, m, f);
}

bool yield_in_place_unless_stopped(machine* m, fiber* f) noexcept {
  return !should_yield(m) || wait_unless_stopped_in(the_scheduler.global, m, f);
}

void return_in_place(machine* m, fiber* f) noexcept {
  if (!acquire_idle_p(m)) wait_in(the_scheduler.returning, m, f);
}

bool return_in_place_unless_stopped(machine* m, fiber* f) noexcept {
  return acquire_idle_p(m) || wait_unless_stopped_in(the_scheduler.returning, m, f);
}

void ready_in_place(fiber* f) noexcept {
  if (processor* const p = pop_idle_p()) {
    hand_p(f->on, p, false);
    return;
  }
  the_scheduler.returning.push(f);
  wake_for_work();  // also if a P has become idle meanwhile
}

}  // namespace baton::sched
