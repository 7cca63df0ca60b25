// Waits for a fiber's end. spawn.cc describes the states of the join word, and the fiber's side.
//
// The joiner puts its agent into the word and parks. retire() takes the agent out, by an exchange, and readies it. A
// joiner with a deadline may take its agent out itself, or its timer may, by a compare-and-swap; so may the thread that
// cancels a joiner's context. The word is the claim,
// so exactly one of them readies the agent. After the agent is taken out, the word says what it would say without the
// joiner: `closing` if the fiber has passed the point after which no thread asks whether it was detached, else
// `running`. The mark at_end keeps this while the agent is in the word.
#include <baton/sched/fiber_list.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/revocable_join.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/spawn.h>
#include <baton/sched/timer.h>

#include <new>

namespace baton::sched {

namespace {

// The fiber is on its very last instructions. Its thread may have been descheduled on them, perhaps because of the
// caller. So the looks for its end are limited.
constexpr int looks_at_end = 64;
void look_again(const agent* self) noexcept {
  if (self->what == agent::kind::plain_thread) {
    platform::cpu_relax();
  } else {
    yield();
  }
}

// Returns the mark of an agent that takes the place of that state in the join word.
std::uintptr_t mark_of(std::uintptr_t state) noexcept {
  return state == join_closing ? std::uintptr_t{join_at_end} : 0;
}

[[noreturn]] void second_joiner(const fiber* f) noexcept {
  fatal("two agents join fiber %llu", static_cast<unsigned long long>(f->id));
}

void refuse_misuse(const fiber* f, const agent* self, std::uintptr_t state) noexcept {
  if (self == f) fatal("a fiber joins itself");
  if (state > join_closing) second_joiner(f);
}

// Returns false if the fiber never ends; nothing was done then. Inline: a frame between a wait and the switch costs
// (waiter.h).
inline __attribute__((always_inline)) bool wait_for_end(fiber* f) noexcept {
  for (int looks = 0;;) {
    // acquire: pairs with retire(): the result is visible, and the stack has been left.
    std::uintptr_t state = f->join.load(mo::acquire);
    if (state == join_ended) return true;
    agent* const self = current_agent();
    if (self == f) fatal("a fiber joins itself");
    if (self->what == agent::kind::plain_thread && exits_here()) return false;
    if (state == join_closing && looks++ < looks_at_end) {
      look_again(self);
      continue;
    }
    if (state > join_closing) second_joiner(f);
    prepare_park(self, wait_reason::join);
    const std::uintptr_t mine = reinterpret_cast<std::uintptr_t>(self) | mark_of(state);
    if (f->join.compare_exchange_strong(state, mine, mo::acq_rel, mo::acquire)) {
      park(self);
      return true;
    }
    cancel_park(self);
  }
}

// A wait with a deadline. The thread that takes the agent out of the join word readies it.
class timed_join : public revocable_join {
 public:
  using revocable_join::revocable_join;

  // After begin(). Returns true if the fiber has ended. Switches.
  [[nodiscard]] bool wait(std::int64_t deadline_ns) noexcept {
    if (who_->what == agent::kind::plain_thread) {
      if (park_thread_until(who_, deadline_ns)) return true;
      return !gives_up();
    }
    timer_handle timer;
    try {
      timer = arm_timer(deadline_ns, &time_is_over, this);
    } catch (const std::bad_alloc&) {
      // There is no memory for a timer. The fiber watches the clock itself, and takes turns with the others.
      while (platform::now_ns() < deadline_ns && in_word()) yield();
      return !gives_up();
    }
    sched::park(who_);
    cancel_timer(timer);  // also when it fired: it may still be looking at *this
    return !revoked_;
  }

 private:
  static void time_is_over(void* arg, std::uint64_t, fiber_list& readied) noexcept {
    auto* const j = static_cast<timed_join*>(arg);
    if (!j->take_back()) return;
    j->revoked_ = true;
    ready_into(j->who_, readied);
  }

  // Returns false if it is too late: the fiber has ended. Switches.
  [[nodiscard]] bool gives_up() noexcept {
    if (take_back()) {
      cancel_park(who_);
      return true;
    }
    sched::park(who_);  // the ready() is on its way
    return false;
  }
};

}  // namespace

revocable_join::revocable_join(fiber* f) noexcept : of_(f), who_(current_agent()) {}

bool revocable_join::begin() noexcept {
  for (int looks = 0;;) {
    std::uintptr_t state = of_->join.load(mo::acquire);  // as in wait_for_end()
    if (state == join_ended) return false;
    refuse_misuse(of_, who_, state);
    if (state == join_closing && looks++ < looks_at_end) {
      look_again(who_);
      continue;
    }
    prepare_park(who_, wait_reason::join);
    const std::uintptr_t mine = word() | mark_of(state);
    if (of_->join.compare_exchange_strong(state, mine, mo::acq_rel, mo::acquire)) return true;
    cancel_park(who_);
  }
}

std::uintptr_t revocable_join::word() const noexcept { return reinterpret_cast<std::uintptr_t>(who_) | join_timed; }

bool revocable_join::in_word() const noexcept { return (of_->join.load(mo::relaxed) & ~join_at_end) == word(); }

bool revocable_join::take_back() noexcept {
  std::uintptr_t seen = of_->join.load(mo::relaxed);
  while ((seen & ~join_at_end) == word()) {
    const std::uintptr_t without = (seen & join_at_end) != 0 ? join_closing : join_running;
    // acq_rel: in the order of all that happens to the word.
    if (of_->join.compare_exchange_weak(seen, without, mo::acq_rel, mo::relaxed)) return true;
  }
  return false;
}

void revocable_join::revoke() noexcept {
  if (!take_back()) return;
  revoked_ = true;
  ready(who_);
}

bool revocable_join::park() noexcept {
  sched::park(who_);
  return !revoked_;
}

bool await_end_until(fiber* f, std::int64_t deadline_ns) noexcept {
  if (deadline_ns == platform::forever_ns) {
    join_fiber(f);
    return true;
  }
  const std::uintptr_t state = f->join.load(mo::acquire);  // as in wait_for_end()
  if (state == join_ended) return true;
  refuse_misuse(f, current_agent(), state);
  if (deadline_ns <= platform::now_ns()) return false;
  timed_join j(f);
  return !j.begin() || j.wait(deadline_ns);
}

void join_fiber(fiber* f) noexcept {
  if (wait_for_end(f)) return;
  fatal("join of fiber %llu after exit(), which has stopped it", static_cast<unsigned long long>(f->id));
}

bool join_fiber_to_drop(fiber* f) noexcept {
  if (wait_for_end(f)) return true;
  say_left("one that a destructor would join is left as it is");
  return false;
}

bool fiber_ended(const fiber* f) noexcept { return f->join.load(mo::acquire) == join_ended; }

}  // namespace baton::sched
