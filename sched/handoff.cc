// Hands a P to an M that waits for one, by a binary semaphore with a cargo: machine::wake_word.
//
//   none      no P has come yet
//   handed    a P lies in machine::handed, or null
//   asleep    as none, and the M is on the futex, or about to be: only then does a waker need a system call
//
// In the course of shutdown.cc the M is handed null, which tells it to end.
//
// An M that waits is handed at most one P for each wait: the thread that hands it over has taken the M off the idle
// list, or has taken its fiber off the queue in which the fiber waited in place.
#include <baton/sched/handoff.h>

#include <baton/sched/platform/futex.h>
#include <baton/sched/scheduler.h>

#include <algorithm>

namespace baton::sched {

namespace {

enum wake_state : std::uint32_t { none = 0, handed = 1, asleep = 2 };

// Positive if it has lately paid to spin for a P. There is one value for all Ms: only if both sides spin do they find
// each other awake. relaxed, and updates may be lost: it is a hint.
platform::atomic<int> spin_luck{limits::spins_tried};

}  // namespace

void acquire_p(machine* m, processor* p) noexcept {
  m->p.store(p, mo::relaxed);
  p->m.store(m, mo::release);
  m->baton.regain();
  if (trace::on()) trace::record(m, {.what = trace::kind::p_taken}, p);
  monitor_note_busy();
}

// Returns false if no P came before the deadline. The word still says asleep.
bool await_handoff(machine* m, std::int64_t deadline_ns) noexcept {
  std::uint32_t expected = none;
  // acquire, everywhere here: pairs with the release in hand_p().
  m->wake_word.compare_exchange_strong(expected, asleep, mo::acquire, mo::acquire);
  while (m->wake_word.load(mo::acquire) != handed) {
    if (!platform::futex_wait(m->wake_word, asleep, deadline_ns)) return m->wake_word.load(mo::acquire) == handed;
  }
  return true;
}

// Spins for a P that is likely to come soon. If spinning has failed (there is no CPU to spare for the thread that would
// hand the P over), it spins only for some tries now and then.
void spin_for_handoff(const machine* m) noexcept {
  const int luck = spin_luck.load(mo::relaxed);
  if (luck <= 0) {
    spin_luck.store(luck < 0 ? luck + 1 : limits::spins_tried, mo::relaxed);
    return;
  }
  // A try begins with a partner that sleeps, so it must last longer than the partner takes to wake.
  const std::int64_t patience = luck > limits::spins_tried ? limits::spin_for_hand_ns : 4 * limits::spin_for_hand_ns;
  const std::uint64_t until = platform::ticks() + platform::ticks_of_ns(patience);
  do {
    if (m->wake_word.load(mo::relaxed) == handed) {
      spin_luck.store(std::min(luck + 1, 2 * limits::spins_tried), mo::relaxed);
      return;
    }
    platform::cpu_relax();
  } while (platform::ticks() < until);
  spin_luck.store(luck > 1 ? luck - 1 : -limits::spins_left_out, mo::relaxed);
}

// The P that was handed now belongs to the M. Begins a section.
void accept_handoff(machine* m) noexcept {
  m->wake_word.store(none, mo::relaxed);
  enter_runtime(m);  // the process may be ending
  acquire_p(m, m->handed);
  m->handed = nullptr;
}

void hand_p(machine* m, processor* p, bool spinning) noexcept {
  if (trace::on()) trace::record_here({.what = trace::kind::p_handed, .subject = m->index}, p);
  m->handed = p;
  m->handed_spinning = spinning;
  // release: pairs with the acquire in await_handoff().
  if (m->wake_word.exchange(handed, mo::release) == asleep) platform::futex_wake(&m->wake_word, 1);
}

void await_p(machine* m) noexcept {
  spin_for_handoff(m);
  static_cast<void>(await_handoff(m, platform::forever_ns));
  accept_handoff(m);
}

bool await_p_unless_stopped(machine* m) noexcept {
  spin_for_handoff(m);
  while (!await_handoff(m, platform::now_ns() + limits::look_for_exit_ns)) {
    if (the_scheduler.ending.load(mo::relaxed)) {
      m->baton.leave(place::user);
      return false;
    }
  }
  m->wake_word.store(none, mo::relaxed);
  if (!enter_unless_stopped(m, place::user)) return false;
  acquire_p(m, m->handed);
  m->handed = nullptr;
  return true;
}

void leave_handoff(machine* m) noexcept { m->wake_word.store(none, mo::relaxed); }

}  // namespace baton::sched
