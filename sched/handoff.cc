// Handing a P to an M that waits for one: a binary semaphore with a cargo, machine::wake_word.
//
//   none      nobody has come yet
//   handed    a P lies in machine::handed, or null
//   asleep    as none, and the M is on the futex, or about to be: only then a waker needs a system call
//
// In shutdown.cc's course it is handed nothing, which says that it is to end.
//
// One who waits is handed at most one P per wait: whoever hands it over has taken the M off the idle list,
// or its fiber off the queue in which it waited in place.
#include <baton/sched/handoff.h>

#include <baton/sched/platform/futex.h>
#include <baton/sched/scheduler.h>

#include <algorithm>

namespace baton::sched {

namespace {

enum wake_state : std::uint32_t { none = 0, handed = 1, asleep = 2 };

// Whether it pays to spin for a P: above 0 it has, of late. One for all: only if both sides spin do they
// find each other awake. relaxed, and updates may be lost: a hint.
platform::atomic<int> spin_luck{limits::spins_tried};

}  // namespace

void acquire_p(machine* m, processor* p) noexcept {
  m->p.store(p, mo::relaxed);
  p->m.store(m, mo::release);
  m->baton.regain();
  monitor_note_busy();
}

// False: nobody came before the deadline; the word still says asleep.
bool await_handoff(machine* m, std::int64_t deadline_ns) noexcept {
  std::uint32_t expected = none;
  // acquire, everywhere here: pairs with the release in hand_p().
  m->wake_word.compare_exchange_strong(expected, asleep, mo::acquire, mo::acquire);
  while (m->wake_word.load(mo::acquire) != handed) {
    if (!platform::futex_wait(m->wake_word, asleep, deadline_ns)) return m->wake_word.load(mo::acquire) == handed;
  }
  return true;
}

// Spins for a P that is likely to come soon. Not where that has been in vain (there is no CPU to spare
// for the one who would hand it over), but for some tries now and then.
void spin_for_handoff(const machine* m) noexcept {
  const int luck = spin_luck.load(mo::relaxed);
  if (luck <= 0) {
    spin_luck.store(luck < 0 ? luck + 1 : limits::spins_tried, mo::relaxed);
    return;
  }
  // A try begins with a partner who sleeps: it must outlast his waking.
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

// What was handed is the M's; begins a section.
void accept_handoff(machine* m) noexcept {
  m->wake_word.store(none, mo::relaxed);
  enter_runtime(m);  // the process may be ending
  acquire_p(m, m->handed);
  m->handed = nullptr;
}

void hand_p(machine* m, processor* p, bool spinning) noexcept {
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

void leave_handoff(machine* m) noexcept { m->wake_word.store(none, mo::relaxed); }

}  // namespace baton::sched
