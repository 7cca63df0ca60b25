// How a context becomes done, and how the children, waiters and subscribers that hang on it are handled.
// context_state.cc has the protocol.
#include <baton/runtime/detail/context_state.h>
#include <baton/sched/fiber_list.h>
#include <baton/sched/platform/futex.h>

#include <climits>
#include <span>
#include <utility>

namespace baton::detail {

namespace platform = sched::platform;
namespace mo = platform::mo;

namespace {

// A step takes at most this many from a branch under its lock: some two microseconds.
constexpr std::size_t at_once = 32;

// Claims some of the waiters, linked through next.
sched::waiter* claim_some(sched::waiter_list& list) noexcept {
  sched::waiter* some = nullptr;
  for (std::size_t i = 0; i < at_once; ++i) {
    sched::waiter* const w = list.claim_front(sched::waiter::cancelled);
    if (w == nullptr) break;
    w->next = std::exchange(some, w);
  }
  return some;
}

}  // namespace

// Requires: own_.lock is held.
void context_state::mark(const absl::Status& cause) const noexcept {
  // relaxed: written under this lock.
  if (done_.load(mo::relaxed)) return;
  cause_ = cause;
  // release: pairs with the acquire in is_done() and others.
  done_.store(true, mo::release);
}

bool context_state::done_above() const noexcept {
  for (const context_state* s = parent_; s != nullptr; s = s->parent_) {
    if (!s->done_.load(mo::acquire)) continue;
    const platform::lock_guard hold(own_.lock);
    mark(s->cause_);
    return true;
  }
  return false;
}

absl::Status context_state::error() const {
  if (!is_done()) return absl::OkStatus();
  // A deadline's callback cannot make a status: it leaves cause_ ok.
  return cause_.ok() ? absl::DeadlineExceededError("context deadline exceeded") : cause_;
}

// Returns true if the caller must handle what hangs on the context.
bool context_state::take(const absl::Status& cause) noexcept {
  const platform::lock_guard hold(own_.lock);
  mark(cause);
  return !std::exchange(taken_, true);
}

// Like take(), but returns false also if nothing hangs on the context.
bool context_state::take_unless_bare(const absl::Status& cause) noexcept {
  const platform::lock_guard hold(own_.lock);
  mark(cause);
  if (std::exchange(taken_, true)) return false;
  return !own_.bare() || timer_ || more_.load(mo::relaxed) != nullptr;
}

void context_state::cancel(absl::Status cause) noexcept {
  if (is_done()) return;
  if (!take(cause.ok() ? absl::CancelledError() : cause)) return;
  // relaxed: the caller has a handle.
  holds_.fetch_add(1, mo::relaxed);
  next_item = nullptr;
  for (context_state* todo = this; todo != nullptr;) {
    context_state* const s = todo;
    context_state* found = static_cast<context_state*>(std::exchange(s->next_item, nullptr));
    const bool dealt_with = s->step(found);
    if (dealt_with) {
      let_go(s);
    } else {
      s->next_item = std::exchange(found, s);
    }
    todo = found;
  }
}

// Called by the timer worker.
void context_state::run() noexcept {
  context_state* found = nullptr;
  if (step(found)) {
    let_go(this);
  } else {
    next_item = std::exchange(found, this);
  }
  if (found != nullptr) timer_worker::get().append(found);
}

void context_state::on_timer(void* self, std::uint64_t, sched::fiber_list& readied) noexcept {
  auto* const s = static_cast<context_state*>(self);
  if (!s->take(absl::OkStatus())) return;
  // From here on s may have lost its last owner. let_go() waits for the end of this callback before it destroys s.
  sched::waiter* some = nullptr;
  bool left = true;
  {
    const platform::lock_guard hold(s->own_.lock);
    some = claim_some(s->own_.waiters);
    left = !s->own_.bare() || s->more_.load(mo::relaxed) != nullptr;
  }
  while (some != nullptr) {
    sched::waiter* const w = std::exchange(some, some->next);
    sched::ready_into(w->who(), readied);
  }
  if (!left || !s->try_hold()) return;
  s->next_item = nullptr;
  timer_worker::get().push(s, readied);
}

// Handles a part of what hangs on the context. Returns true if nothing is left. Puts contexts that are to be handled
// next in front of `found`, each with a hold.
bool context_state::step(context_state*& found) noexcept {
  for (; swept_ < branch_count(); ++swept_) {
    context_branch& b = branch(swept_);
    sched::waiter* some = nullptr;
    bool more = false;
    {
      const platform::lock_guard hold(b.lock);
      some = claim_some(b.waiters);
      more = !b.waiters.empty();
    }
    while (some != nullptr) {
      sched::waiter* const w = std::exchange(some, some->next);
      sched::ready(w->who());
    }
    if (visit_children(b, found)) more = true;
    if (notify_subscribers(b)) more = true;
    if (more) return false;
  }
  sched::timer_handle timer;
  {
    const platform::lock_guard hold(own_.lock);
    timer = timer_;
  }
  if (timer) sched::cancel_timer(timer);  // does nothing if this timer made the context done
  return true;
}

// Returns true if there are more.
bool context_state::visit_children(context_branch& b, context_state*& found) noexcept {
  context_state* some[at_once];
  std::size_t n = 0;
  bool more = false;
  {
    const platform::lock_guard hold(b.lock);
    for (std::size_t i = 0; i < at_once && b.children != nullptr; ++i) {
      context_state* const child = b.children;
      child->unhang();
      child->hang(b.visited);
      if (child->try_hold()) some[n++] = child;
    }
    more = b.children != nullptr;
  }
  for (context_state* const child : std::span(some, n)) {
    if (child->take_unless_bare(cause_)) {
      child->next_item = std::exchange(found, child);
    } else {
      let_go(child);
    }
  }
  return more;
}

// Returns true if there are more.
bool context_state::notify_subscribers(context_branch& b) noexcept {
  for (std::size_t i = 0; i < at_once; ++i) {
    node* n = nullptr;
    {
      const platform::lock_guard hold(b.lock);
      n = b.subscribers;
      if (n == nullptr) return false;
      b.subscribers = n->next;
      if (n->next != nullptr) n->next->prev = nullptr;
      n->next = nullptr;
      b.notifying = n;
    }
    n->cancelled();
    bool wake = false;
    {
      const platform::lock_guard hold(b.lock);
      b.notifying = nullptr;
      wake = std::exchange(b.somebody_waits, false);
      // release: pairs with the acquire in unsubscribe().
      b.calls_ended.fetch_add(1, mo::release);
    }
    if (wake) platform::futex_wake(&b.calls_ended, INT_MAX);
  }
  return true;
}

}  // namespace baton::detail
