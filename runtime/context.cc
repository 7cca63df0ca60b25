// Who holds what
//   A context holds the one above it strongly, and is held by it only through a plain link, which the
//   destructor takes away under the lock. So a dropped context vanishes, and whoever walks the tree
//   under the lock finds live objects (some perhaps already without owners).
//   One lock guards a whole tree: it lies in the root, the topmost context below the background, which
//   all others keep alive. Separate trees do not meet. (A lock per context would have to be taken hand
//   over hand by whoever cancels, down trees of any depth.)
//
// How a context becomes done
//   1. Under the lock, finish_tree() walks the subtree without recursion and allocation: it sets
//      source_, claims the waiters and chains them, and chains the contexts that have subscribers. A
//      context that is done has only done ones below it, so the walk skips it.
//   2. After the lock: the claimed waiters are readied, then the subscribers called, one by one. What a
//      cancel() has made done below gives up its timers, too, which would else stay until they are due.
//   A deadline does 1 in the timer's callback, which may neither allocate nor run anybody's code; it
//   readies the waiters itself (timers below are earlier still, and due by themselves), and leaves the
//   subscribers to the courier. That is started when the first context with a deadline is made, which
//   may fail: subscribing may not.
//   Both survive the handle: what is chained holds itself through keep_alive_.
//
// The timer holds no reference. The destructor disarms it first, which waits for a callback that is
// under way; that callback then cannot get a strong reference any more, and need not: what nobody
// owns has neither waiters nor subscribers.
#include <baton/runtime/context.h>

#include <baton/runtime/context_state.h>
#include <baton/sched/fiber_list.h>
#include <baton/sched/platform/futex.h>

#include <climits>

namespace baton {
namespace detail {

namespace platform = sched::platform;

// What is left to do when the lock has been released.
struct context_state::work {
  sched::waiter* waiters = nullptr;  // claimed, linked through next
  errand* states = nullptr;          // contexts with subscribers or timers, linked through next_errand
  bool timers = false;               // whether those with timers are wanted
};

namespace {

void ready_all(sched::waiter* chain) noexcept {
  while (chain != nullptr) {
    sched::waiter* const next = chain->next;
    sched::strand* const who = chain->who();
    sched::ready(who);
    chain = next;
  }
}

}  // namespace

context_state::context_state(std::shared_ptr<context_state> parent, std::int64_t deadline_ns) noexcept
    : parent_(std::move(parent)), root_(parent_ != nullptr ? parent_->root_ : this), deadline_ns_(deadline_ns) {}

std::shared_ptr<context_state> context_state::make(std::shared_ptr<context_state> parent, std::int64_t deadline_ns) {
  const std::int64_t inherited = parent != nullptr ? parent->deadline_ns_ : platform::forever_ns;
  const bool earlier = deadline_ns < inherited;
  if (earlier) courier::get().start();
  auto s = std::make_shared<context_state>(std::move(parent), earlier ? deadline_ns : inherited);
  s->link_to_parent();
  if (!earlier || s->is_done()) return s;
  if (deadline_ns <= platform::now_ns()) {
    s->cancel(absl::DeadlineExceededError("context deadline exceeded"));
  } else {
    const sched::timer_handle timer = sched::arm_timer(deadline_ns, &on_timer, s.get());
    bool done = false;
    {
      const platform::lock_guard hold(s->root_->lock_);
      s->timer_ = timer;
      done = s->is_done();
    }
    // Whoever cancelled the parent meanwhile did not see the timer.
    if (done) sched::cancel_timer(timer);
  }
  return s;
}

context_state::~context_state() {
  if (timer_) sched::cancel_timer(timer_);
  if (parent_ == nullptr) return;
  {
    const platform::lock_guard hold(root_->lock_);
    unlink_from_parent();
  }
  drop_chain(std::move(parent_));
}

// Under the lock.
void context_state::unlink_from_parent() noexcept {
  if (prev_sibling_ != nullptr) {
    prev_sibling_->next_sibling_ = next_sibling_;
  } else if (parent_ != nullptr && parent_->first_child_ == this) {
    parent_->first_child_ = next_sibling_;
  }
  if (next_sibling_ != nullptr) next_sibling_->prev_sibling_ = prev_sibling_;
}

// Drops what may be the last owner of a context, and so of the one above it, and so on: one after the
// other, because a chain can be longer than a stack is deep. If nobody else owns it, only its timer and those
// who walk the tree can still find it: without the timer, and off the tree, it is ours, and gives us the
// one above before it goes.
void context_state::drop_chain(std::shared_ptr<context_state> up) noexcept {
  while (up != nullptr && up.use_count() == 1) {
    if (up->timer_) sched::cancel_timer(up->timer_);
    std::shared_ptr<context_state> next;
    {
      const platform::lock_guard hold(up->root_->lock_);
      if (up.use_count() != 1) break;
      up->unlink_from_parent();
      next = std::move(up->parent_);
    }
    up = std::move(next);
  }
}

void context_state::link_to_parent() noexcept {
  if (parent_ == nullptr) return;
  const platform::lock_guard hold(root_->lock_);
  // relaxed: written under this lock.
  if (const context_state* const source = parent_->source_.load(platform::mo::relaxed)) {
    source_.store(source, platform::mo::release);
    return;
  }
  next_sibling_ = parent_->first_child_;
  if (next_sibling_ != nullptr) next_sibling_->prev_sibling_ = this;
  parent_->first_child_ = this;
}

absl::Status context_state::error() const {
  // acquire: pairs with the release in finish_tree() and link_to_parent(); cause_ is complete.
  const context_state* const source = source_.load(platform::mo::acquire);
  if (source == nullptr) return absl::OkStatus();
  // A deadline's callback cannot make a status: it leaves cause_ ok.
  return source->cause_.ok() ? absl::DeadlineExceededError("context deadline exceeded") : source->cause_;
}

// The next of a walk, parents before children; null after the last.
context_state* context_state::next_in_tree(context_state* s, const context_state* top, bool skip_children) noexcept {
  if (!skip_children && s->first_child_ != nullptr) return s->first_child_;
  while (s != top) {
    if (s->next_sibling_ != nullptr) return s->next_sibling_;
    s = s->parent_.get();
  }
  return nullptr;
}

void context_state::take_work(context_state* s, work& todo) noexcept {
  while (sched::waiter* const w = s->waiters_.claim_front(sched::waiter::cancelled)) {
    w->next = todo.waiters;
    todo.waiters = w;
  }
  if (s->subscribers_ == nullptr && !(todo.timers && s->timer_)) return;
  s->keep_alive_ = s->weak_from_this().lock();
  if (s->keep_alive_ == nullptr) return;
  s->next_errand = todo.states;
  todo.states = s;
}

// Under the lock, of a context that is not done. Its cause_ has been written.
void context_state::finish_tree(work& todo) noexcept {
  bool skip = false;
  for (context_state* s = this; s != nullptr; s = next_in_tree(s, this, skip)) {
    // relaxed: written under this lock.
    skip = s->source_.load(platform::mo::relaxed) != nullptr;
    if (skip) continue;
    // release: pairs with the acquire in is_done() and error().
    s->source_.store(this, platform::mo::release);
    take_work(s, todo);
  }
}

void context_state::cancel(absl::Status cause) {
  if (is_done()) return;
  if (cause.ok()) cause = absl::CancelledError();
  work todo;
  todo.timers = true;
  {
    const platform::lock_guard hold(root_->lock_);
    // relaxed: written under this lock.
    if (source_.load(platform::mo::relaxed) != nullptr) return;
    cause_ = std::move(cause);
    finish_tree(todo);
  }
  ready_all(todo.waiters);
  while (todo.states != nullptr) {
    errand* const e = todo.states;
    todo.states = std::exchange(e->next_errand, nullptr);
    e->run();
  }
}

void context_state::on_timer(void* self, std::uint64_t, sched::fiber_list& readied) noexcept {
  auto* const s = static_cast<context_state*>(self);
  work todo;
  {
    const platform::lock_guard hold(s->root_->lock_);
    // relaxed: written under this lock.
    if (s->source_.load(platform::mo::relaxed) != nullptr) return;
    s->finish_tree(todo);
  }
  // From here on s may have lost its last owner; its destructor waits for the end of this callback.
  while (todo.waiters != nullptr) {
    sched::waiter* const w = std::exchange(todo.waiters, todo.waiters->next);
    sched::ready_into(w->who(), readied);
  }
  if (todo.states != nullptr) courier::get().push(todo.states, readied);
}

bool context_state::wait(std::int64_t deadline_ns) {
  if (is_done()) {
    sched::yield_if_due();
    return true;
  }
  sched::waiter w;
  {
    const platform::lock_guard hold(root_->lock_);
    // relaxed: written under this lock.
    if (source_.load(platform::mo::relaxed) != nullptr) return true;
    w.prepare(sched::wait_reason::context);
    waiters_.push_back(w);
  }
  if (w.wait(deadline_ns) != sched::waiter::timed_out) return true;
  const platform::lock_guard hold(root_->lock_);
  waiters_.remove(w);
  return is_done();
}

bool context_state::subscribe(node& n) noexcept {
  if (is_done()) return false;
  const platform::lock_guard hold(root_->lock_);
  // relaxed: written under this lock.
  if (source_.load(platform::mo::relaxed) != nullptr) return false;
  n.data = this;
  n.prev = nullptr;
  n.next = subscribers_;
  if (n.next != nullptr) n.next->prev = &n;
  subscribers_ = &n;
  return true;
}

void context_state::unsubscribe(node& n) noexcept {
  std::uint32_t seen = 0;
  {
    const platform::lock_guard hold(root_->lock_);
    if (n.data == this) {
      (n.prev != nullptr ? n.prev->next : subscribers_) = n.next;
      if (n.next != nullptr) n.next->prev = n.prev;
      n.next = n.prev = nullptr;
      n.data = nullptr;
      return;
    }
    if (notifying_ != &n) return;
    somebody_waits_ = true;
    // relaxed: written under this lock.
    seen = calls_ended_.load(platform::mo::relaxed);
  }
  // acquire: pairs with the release in notify_subscribers(); the call has left the node.
  while (calls_ended_.load(platform::mo::acquire) == seen) {
    platform::futex_wait(calls_ended_, seen, platform::forever_ns);
  }
}

void context_state::run() noexcept {
  const std::shared_ptr<context_state> keep = std::move(keep_alive_);
  if (timer_) sched::cancel_timer(timer_);  // does nothing if it was this that has made it done
  notify_subscribers();
}

void context_state::notify_subscribers() noexcept {
  for (;;) {
    node* n = nullptr;
    {
      const platform::lock_guard hold(root_->lock_);
      n = subscribers_;
      if (n == nullptr) return;
      subscribers_ = n->next;
      if (subscribers_ != nullptr) subscribers_->prev = nullptr;
      n->next = nullptr;
      n->data = nullptr;
      notifying_ = n;
    }
    n->cancelled();
    bool wake = false;
    {
      const platform::lock_guard hold(root_->lock_);
      notifying_ = nullptr;
      wake = std::exchange(somebody_waits_, false);
      // release: pairs with the acquire in unsubscribe().
      calls_ended_.fetch_add(1, platform::mo::release);
    }
    if (wake) platform::futex_wake(&calls_ended_, INT_MAX);
  }
}

}  // namespace detail

bool context::is_done() const noexcept { return state_ != nullptr && state_->is_done(); }

absl::Status context::error() const { return state_ == nullptr ? absl::OkStatus() : state_->error(); }

std::optional<context::time_point> context::deadline() const noexcept {
  if (state_ == nullptr || state_->deadline_ns() == sched::platform::forever_ns) return {};
  return time_point(std::chrono::nanoseconds(state_->deadline_ns()));
}

void context::wait_done() const { static_cast<void>(wait_done_until_ns(sched::platform::forever_ns)); }

bool context::wait_done_until_ns(std::int64_t deadline_ns) const {
  if (state_ != nullptr) {
    // The handle may be assigned to while this waits.
    const std::shared_ptr<detail::context_state> keep = state_;
    return keep->wait(deadline_ns);
  }
  sched::waiter w;
  w.prepare(sched::wait_reason::context);
  static_cast<void>(w.wait(deadline_ns));
  return false;
}

std::shared_ptr<net::cancellation> context::as_cancellation() const { return state_; }

cancellable_context detail::derive_context(const context& parent, std::int64_t deadline_ns) {
  return cancellable_context(detail::context_state::make(parent.state_, deadline_ns));
}

void cancellable_context::cancel(absl::Status cause) const {
  // The subscribers that this calls may drop the last handle.
  const std::shared_ptr<detail::context_state> keep = state_;
  if (keep != nullptr) keep->cancel(std::move(cause));
}

cancellable_context with_cancel(const context& parent) {
  return detail::derive_context(parent, sched::platform::forever_ns);
}

}  // namespace baton
