// The tree of contexts. There is no lock of the tree: each context has locks of its own, and no two of them are
// ever held at once.
//
// Who holds what
//   A context lives while it has handles, or children, or somebody who cancels works on it. `holds_` counts
//   these: one for all handles together (their number is the shared_ptr's, whose control block lies in the
//   context), one for each worker. Children are not counted there, because requests below one server
//   context would meet at that word. A child is linked into a branch of its parent until it is destroyed, and
//   that is its hold. When the last handle goes (close()), nobody can make children any more: each branch that
//   has some takes one of `holds_`, and its last child gives it back.
//   A child is only linked weakly: its parent does not keep it. Who walks through a branch takes a hold on a
//   child under the branch's lock, unless its number is zero: then it is being destroyed, has neither handles
//   nor children, and nobody is interested in it.
//   So whoever has a context has all above it, through parent_.
//
// Branches
//   Children, waiters and subscribers hang on a branch, under its lock. A context begins with one, own_. When
//   different Ps come to it by turns often enough (is_crowded()), it gets one more for each P, and those that
//   come later use the branch of their P. Nothing moves from a branch to another.
//
// How a context becomes done (context_cancel.cc)
//   1. done_ is set, with the cause, under own_.lock: mark(). The first cause stays.
//   2. From then on everything below is done, too: is_done() looks at the contexts above, and if it finds one
//      done marks its own with that cause, so that the answer and the cause stay. That is why a cancel takes effect
//      at one moment, however many children there are. (Those who add something look at the context itself only: it
//      will be found by who deals with it. So nothing but is_done(), error() and cancel() takes longer far below.)
//   3. One has to deal with what hangs on it: who takes it (take(), under own_.lock, is true once). He does that
//      in steps: each goes through a branch and deals with at most `at_once` waiters, children and subscribers,
//      under its lock only while they are taken off. Waiters are claimed, and readied after the lock. A child is
//      moved to the list of visited ones, marked with the cause, and taken, if nobody else has; if something
//      hangs on it, it is one of those to be dealt with. Its timer is given up.
//   A cancel() does all steps itself. A deadline's callback, which may not run long, nor anybody's code, does 1,
//   readies a few waiters, and leaves the rest to the timer_worker, which lets others run between the steps. (The
//   timer_worker is started when the first context with a deadline is made, which may fail: subscribing may not.)
//   Contexts that are still to be dealt with are chained through next_item; only who has taken one writes that.
//
// Races
//   cancel, and a child, waiter or subscriber that is added    The adder looks at done_ under the branch's lock. Who
//       cancels sets done_ before he goes to the branches. Whoever has the lock first: either the new one is found, or
//       the adder sees done_.
//   cancel, and new branches    more_ is published under own_.lock, and only while done_ is not set. Who cancels reads
//   it
//       after take(), which had that lock: he sees it, or it is never published.
//   two who cancel      An ancestor's cancel that finds a context taken leaves it to whoever took it, who goes on with
//       the cause that it has. So a cancel() may return while the other one is at work below; is_done() is right
//       meanwhile (2), waiters and subscribers follow.
//   cancel, and a child that is dropped    See above: a hold, or it is left alone. The destructor takes it off its
//       branch, be it among the children or the visited ones, under the lock.
//   cancel, and a parent that is dropped    A child's parent lives until the child is off the branch.
//   a deadline, and the end of a context    The destructor disarms the timer first, which waits for a callback that is
//       under way; that callback then gets no hold any more, and needs none.
//   deadlines out of order    One below is never later than one above. If the clock of the one above is looked at
//   first,
//       the one below is marked by it, with the same error; its own timer then finds it taken, or takes it.
//   a deadline, and cancel()    The first of them to have own_.lock.
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

// So many times has another P than the last one come: then sharing costs more than memory.
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

// The control block of the shared_ptr lies in the context, which it holds.
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
  // acquire: as in is_done(). Whoever is about to mark it looks for its timer.
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
  // Whoever cancelled the parent meanwhile did not see the timer.
  if (done) sched::cancel_timer(timer);
}

context_state::~context_state() {
  branches* const more = more_.load(mo::relaxed);
  if (more == nullptr) return;
  for (std::uint32_t i = 0; i < more->count; ++i) more->at[i].~padded();
  ::operator delete (more->at, std::align_val_t{alignof(branches::padded)});
  delete more;
}

// The last handle has gone.
void context_state::close() noexcept {
  for (std::size_t i = 0; i < branch_count(); ++i) {
    context_branch& b = branch(i);
    // No handle, no new child: whoever set this did so before.
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
    // relaxed: what is touched afterwards has a lock.
    if (holds_.compare_exchange_weak(now, now + 1, mo::relaxed, mo::relaxed)) return true;
  }
  return false;
}

// Gives a hold back, and with the last one the context, and if that was the last of what held the one above,
// that, and so on: a chain can be longer than a stack is deep.
void context_state::let_go(context_state* s) noexcept {
  // acq_rel: the last one sees all that others did with it.
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

// True: the caller has to give back a hold of the parent.
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

// Under own_.lock, by who has just put something there. True: it is time for more branches.
bool context_state::is_crowded(std::uint32_t p) noexcept {
  return std::exchange(last_p_, p) != p && ++crowding_ == crowded;
}

// Without memory it stays as it is.
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
    // is_crowded() says so once, so nobody else comes here.
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

// A node's data is the branch on which it was put: only its owner reads and writes that. The links are guarded by
// the branch's lock; both are null of one that is off the branch, and not its first.
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
  // At exit whoever makes the call may have been stopped in it, where it readies a fiber. Nothing of the node is
  // touched after that. A call that has not come there is brief.
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
