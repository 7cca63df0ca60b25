// The tree of contexts. The tree has no lock: each context has locks of its own, and no thread ever holds two of them
// at once.
//
// Holds
//   A context lives while it has handles, or children, or a canceller that works on it. `holds_` counts these: one for
//   all handles together (the shared_ptr counts the handles; its control block lies in the context), one for each
//   worker. Children are not counted there, because requests below one server context would contend for that word. A
//   child is linked into a branch of its parent until it is destroyed, and that link is its hold. After the last handle
//   has gone (close()), no thread can make children any more. close() gives each branch that has children one of
//   `holds_`, and the branch's last child gives it back.
//   A child is only linked weakly: its parent does not keep it alive. A thread that walks through a branch takes a hold
//   on a child under the branch's lock, unless the child's count is zero. At zero the child is being destroyed, has
//   neither handles nor children, and needs no notification.
//   So a thread that has a context has all contexts above it, through parent_.
//
// Branches
//   Children, waiters and subscribers hang on a branch, under its lock. A context begins with one branch, own_. When
//   different Ps come to it by turns often enough (is_crowded()), it gets one more for each P. Later children, waiters
//   and subscribers use the branch of their P. Nothing moves from one branch to another.
//
// How a context becomes done (context_cancel.cc)
//   1. mark() sets the cause and then done_, under own_.lock. The first cause stays.
//   2. From then on every context below is done, too. is_done() looks at the contexts above. If one of them is done, it
//      marks its own context with that cause, so that the answer and the cause stay. That is why a cancel takes effect
//      at one moment, however many children there are. (A thread that adds something looks only at the context itself.
//      The canceller that handles the context will find what was added. So only is_done(), error() and cancel() take
//      longer far below the root.)
//   3. One thread handles what hangs on the context: the taker (take(), under own_.lock, returns true once). It works
//      in steps. Each step goes through a branch and handles at most `at_once` waiters, children and subscribers; it
//      holds the branch's lock only while it takes them off. Waiters are claimed under the lock and readied after it. A
//      child is moved to the list of visited ones, marked with the cause, and taken, unless another thread has taken
//      it. If something hangs on the child, the child is handled next. A timer counts as something that hangs on it;
//      the last step cancels the timer.
//   A cancel() does all steps itself. A deadline's callback may neither run long nor run user code. It does 1, readies
//   a few waiters, and leaves the rest to the timer worker, which lets other fibers run between the steps. (The timer
//   worker is started when the first context with a deadline is made. That may fail; subscribing may not.)
//   Contexts that are still to be handled are chained through next_item. Only the taker writes that field.
//
// Races
//   cancel, and a child, waiter or subscriber that is added
//       The adder looks at done_ under the branch's lock. The canceller sets done_ before it goes to the branches.
//       Either the canceller has the lock after the adder and finds the addition, or the adder sees done_.
//   cancel, and new branches
//       more_ is published under own_.lock, and only while done_ is not set. The canceller reads it after take(), which
//       had that lock: the canceller sees more_, or more_ is never published.
//   two cancellers
//       If an ancestor's cancel finds a context taken, it leaves that context to the taker, which goes on with the
//       cause that the context has. So a cancel() may return while another is at work below. is_done() is right
//       meanwhile (2); waiters and subscribers follow.
//   cancel, and a child that is dropped
//       See above: the canceller gets a hold, or leaves the child alone. The child's destruction takes it off its
//       branch under the lock, whether it is among the children or the visited ones.
//   cancel, and a parent that is dropped
//       A child's parent lives until the child is off the branch.
//   a deadline, and the end of a context
//       let_go() disarms the timer before it destroys the context, and thereby waits for a running callback. That
//       callback gets no hold any more, and needs none.
//   deadlines out of order
//       A deadline below is never later than one above. If the clock reaches the timer above first, that timer marks
//       the context below, with the same error. The timer below then finds its context taken, or takes it.
//   a deadline, and cancel()
//       The first of them to have own_.lock decides.
#include <baton/runtime/detail/context_state.h>

#include <baton/sched/lifecycle.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/spawn.h>

#include <algorithm>
#include <functional>
#include <new>
#include <utility>

namespace baton::detail {

namespace platform = sched::platform;
namespace mo = platform::mo;

namespace {

// After this many changes from one P to another, sharing a branch costs more than memory.
constexpr std::uint32_t crowded = 32;

constexpr std::size_t branches_max = 64;

}  // namespace

struct context_state::branches {
  struct alignas(128) padded {  // two lines: processors fetch them in pairs
    context_branch b;
  };
  std::uint32_t count;
  padded* at;
};

// The control block of the shared_ptr lies in the context that it holds.
template <class T>
struct context_state::control_memory {
  using value_type = T;
  explicit control_memory(context_state* s) noexcept : of(s) {}
  template <class U>
  control_memory(const control_memory<U>& other) noexcept : of(other.of) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] T* allocate(std::size_t) const noexcept {
    static_assert(sizeof(T) <= control_size && alignof(T) <= alignof(std::max_align_t));
    return reinterpret_cast<T*>(of->control_);
  }
  void deallocate(T*, std::size_t) const noexcept { let_go(of); }
  template <class U>
  bool operator==(const control_memory<U>& other) const noexcept {
    return of == other.of;
  }
  context_state* of;
};

struct context_state::handles_end {
  void operator()(context_state* s) const noexcept { s->close(); }
};

// ---- life ----

std::shared_ptr<context_state> context_state::make(context_state* parent, std::int64_t deadline_ns) {
  const std::int64_t inherited = parent != nullptr ? parent->deadline_ns_ : platform::forever_ns;
  const bool earlier = deadline_ns < inherited;
  if (earlier) timer_worker::get().start();
  auto* const s = new context_state(parent, earlier ? deadline_ns : inherited);
  std::shared_ptr<context_state> handle(s, handles_end{}, control_memory<context_state>(s));
  s->link_to_parent();
  // acquire: as in is_done(). A thread that is about to mark the context looks for its timer.
  if (earlier && !s->done_.load(mo::acquire)) s->arm();
  return handle;
}

void context_state::arm() {
  if (deadline_ns_ <= platform::now_ns()) {
    static_cast<void>(take(absl::OkStatus()));
    return;
  }
  const sched::timer_handle timer = sched::arm_timer(deadline_ns_, &on_timer, this);
  bool done = false;
  {
    const platform::lock_guard hold(own_.lock);
    timer_ = timer;
    done = taken_;
  }
  // A thread that cancelled the parent meanwhile did not see the timer.
  if (done) sched::cancel_timer(timer);
}

context_state::~context_state() {
  branches* const more = more_.load(mo::relaxed);
  if (more == nullptr) return;
  for (std::uint32_t i = 0; i < more->count; ++i) more->at[i].~padded();
  ::operator delete (more->at, std::align_val_t{alignof(branches::padded)});
  delete more;
}

// Called when the last handle has gone.
void context_state::close() noexcept {
  for (std::size_t i = 0; i < branch_count(); ++i) {
    context_branch& b = branch(i);
    // Without a handle there is no new child. The thread that set this flag did so before.
    if (!b.had_children) continue;
    const platform::lock_guard hold(b.lock);
    if (b.children == nullptr && b.visited == nullptr) continue;
    // relaxed: the control block still has a hold.
    holds_.fetch_add(1, mo::relaxed);
    b.holds_context = true;
  }
}

bool context_state::try_hold() noexcept {
  std::uint32_t now = holds_.load(mo::relaxed);
  while (now != 0) {
    // relaxed: a lock guards what is touched afterwards.
    if (holds_.compare_exchange_weak(now, now + 1, mo::relaxed, mo::relaxed)) return true;
  }
  return false;
}

// Gives a hold back. With the last hold it destroys the context. If that context was the last hold on its parent, it
// goes on with the parent, and so on. It loops because a chain can be longer than a stack is deep.
void context_state::let_go(context_state* s) noexcept {
  // acq_rel: the thread that gives back the last hold sees all that others did with the context.
  while (s != nullptr && s->holds_.fetch_sub(1, mo::acq_rel) == 1) {
    if (s->timer_) sched::cancel_timer(s->timer_);
    context_state* const up = s->unlink_from_parent() ? s->parent_ : nullptr;
    delete s;
    s = up;
  }
}

// ---- the tree ----

void context_state::hang(context_state*& list) noexcept {
  next_sibling_ = list;
  if (list != nullptr) list->link_ = &next_sibling_;
  link_ = &list;
  list = this;
}

void context_state::unhang() noexcept {
  *link_ = next_sibling_;
  if (next_sibling_ != nullptr) next_sibling_->link_ = link_;
}

void context_state::link_to_parent() noexcept {
  if (parent_ == nullptr) return;
  bool grow = false;
  {
    const std::uint32_t p = sched::processor_here();
    context_branch& b = parent_->branch_of(p);
    const platform::lock_guard hold(b.lock);
    // acquire: pairs with the release in mark().
    if (!parent_->done_.load(mo::acquire)) {
      hang(b.children);
      b.had_children = true;
      in_ = &b;
      grow = &b == &parent_->own_ && parent_->is_crowded(p);
    }
  }
  if (in_ == nullptr) {
    {
      const platform::lock_guard hold(own_.lock);
      mark(parent_->cause_);
      taken_ = true;
    }
    parent_ = nullptr;
  } else if (grow) {
    parent_->add_branches();
  }
}

// Returns true if the caller has to give back a hold of the parent.
bool context_state::unlink_from_parent() noexcept {
  if (in_ == nullptr) return false;
  const platform::lock_guard hold(in_->lock);
  unhang();
  return in_->children == nullptr && in_->visited == nullptr && std::exchange(in_->holds_context, false);
}

std::size_t context_state::branch_count() const noexcept {
  // acquire, here and below: pairs with the release in add_branches().
  const branches* const more = more_.load(mo::acquire);
  return more != nullptr ? 1 + more->count : 1;
}

context_branch& context_state::branch(std::size_t i) const noexcept {
  return i == 0 ? own_ : more_.load(mo::acquire)->at[i - 1].b;
}

context_branch& context_state::branch_of(std::uint32_t p) const noexcept {
  const branches* const more = more_.load(mo::acquire);
  return more != nullptr ? more->at[p % more->count].b : own_;
}

// Requires: own_.lock is held, and the caller has just put something on own_. Returns true if it is time for more
// branches.
bool context_state::is_crowded(std::uint32_t p) noexcept {
  return std::exchange(last_p_, p) != p && ++crowding_ == crowded;
}

// Without memory the context keeps its single branch.
void context_state::add_branches() noexcept {
  const auto count = std::min<std::size_t>(static_cast<std::size_t>(sched::procs()), branches_max);
  auto* more = new (std::nothrow) branches{static_cast<std::uint32_t>(count), nullptr};
  if (more == nullptr) return;
  constexpr std::align_val_t alignment{alignof(branches::padded)};
  void* const room = ::operator new(count * sizeof(branches::padded), alignment, std::nothrow);
  if (room != nullptr) {
    more->at = static_cast<branches::padded*>(room);
    for (std::size_t i = 0; i < count; ++i) ::new (more->at + i) branches::padded;
    const platform::lock_guard hold(own_.lock);
    // is_crowded() returns true once, so no other thread comes here.
    if (!done_.load(mo::relaxed)) {
      more_.store(std::exchange(more, nullptr), mo::release);
      return;
    }
  }
  if (room != nullptr) {
    for (std::size_t i = 0; i < count; ++i) more->at[i].~padded();
    ::operator delete(room, alignment);
  }
  delete more;
}

// ---- waiting and subscribing ----

bool context_state::wait(std::int64_t deadline_ns) {
  // acquire, here and in subscribe(): as in is_done().
  if (done_.load(mo::acquire)) {
    sched::yield_if_due();
    return true;
  }
  sched::waiter w;
  context_branch& b = branch_of(sched::processor_here());
  {
    const platform::lock_guard hold(b.lock);
    // acquire: pairs with the release in mark().
    if (done_.load(mo::acquire)) return true;
    w.prepare(sched::wait_reason::context);
    b.waiters.push_back(w);
  }
  if (w.wait(deadline_ns) != sched::waiter::timed_out) return true;
  {
    const platform::lock_guard hold(b.lock);
    b.waiters.remove(w);
  }
  return is_done();
}

// A node's data is the branch that it was put on. Only the node's owner reads and writes it. The branch's lock guards
// the links. A node that is off the branch has two null links and is not the branch's first.
bool context_state::subscribe(node& n) noexcept {
  if (done_.load(mo::acquire)) return false;
  bool grow = false;
  {
    const std::uint32_t p = sched::processor_here();
    context_branch& b = branch_of(p);
    const platform::lock_guard hold(b.lock);
    // acquire: pairs with the release in mark().
    if (done_.load(mo::acquire)) return false;
    n.data = &b;
    n.prev = nullptr;
    n.next = b.subscribers;
    if (n.next != nullptr) n.next->prev = &n;
    b.subscribers = &n;
    grow = &b == &own_ && is_crowded(p);
  }
  if (grow) add_branches();
  return true;
}

void context_state::unsubscribe(node& n) noexcept {
  auto* const b = static_cast<context_branch*>(n.data);
  if (b == nullptr || !is_mine(*b)) return;
  n.data = nullptr;
  std::uint32_t seen = 0;
  {
    const platform::lock_guard hold(b->lock);
    if (n.prev != nullptr || b->subscribers == &n) {
      (n.prev != nullptr ? n.prev->next : b->subscribers) = n.next;
      if (n.next != nullptr) n.next->prev = n.prev;
      n.next = n.prev = nullptr;
      return;
    }
    if (b->notifying != &n) return;
    b->somebody_waits = true;
    // relaxed: written under this lock.
    seen = b->calls_ended.load(mo::relaxed);
  }
  // At exit the thread that makes the call may have been stopped in it, where it readies a fiber. The call touches
  // nothing of the node after that. A call that has not come to that point is brief.
  constexpr std::int64_t patience_ns = 20'000'000;
  const std::int64_t until_ns = sched::exits_here() ? platform::now_ns() + patience_ns : platform::forever_ns;
  // acquire: pairs with the release in notify_subscribers(); the call has left the node.
  while (b->calls_ended.load(mo::acquire) == seen) {
    platform::futex_wait(b->calls_ended, seen, until_ns);
    if (until_ns == platform::forever_ns || platform::now_ns() < until_ns) continue;
    if (!sched::destructor_may_wait("a subscription to a context is left as it is")) return;
  }
}

bool context_state::is_mine(const context_branch& b) const noexcept {
  if (&b == &own_) return true;
  const branches* const more = more_.load(mo::acquire);
  if (more == nullptr) return false;
  const auto* const first = reinterpret_cast<const std::byte*>(more->at);
  const auto* const at = reinterpret_cast<const std::byte*>(&b);
  return !std::less<>()(at, first) && std::less<>()(at, first + more->count * sizeof(branches::padded));
}

}  // namespace baton::detail
