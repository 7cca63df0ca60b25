// The choice of a select, in three steps. The first step that finds something ends it.
//
//   1. look      Without locks: which channels seem ready, which contexts are done? One of these is drawn. If it is a
//                 channel, that channel alone is locked and tried. This is a select's usual end, and costs what the
//                 plain send or receive costs. If it fails, the next is drawn.
//   2. ask       The same with all its channels locked. So "none is ready" is the truth about one moment, which
//                 `otherwise` relies on: if another fiber always fills one channel before it empties another, no select
//                 may see both empty. If nothing is ready, `otherwise` or a timeout of no length is chosen here.
//   3. wait      Still under all locks, a node of one waiter is put into a queue of each channel. Then the locks are
//                 released, the contexts are subscribed to, and the agent parks until the waiter is claimed. The value
//                 that it is claimed with says which case it was, and whether its channel was closed. Then each node is
//                 taken out under its channel's lock, and the subscriptions end.
//
// Locks are taken in the order of addresses, and a channel that occurs twice is locked once, so two selects cannot wait
// for each other. No other code holds two of these locks.
//
// Exactly one case is chosen: the waiter is claimed by one compare-and-swap, by a counterpart (before it touches an
// element), a close, a cancelled context or the clock. A send that loses leaves its value alone, because no thread
// touches an element whose waiter it could not claim. In steps 1 and 2 the select claims others while none of its own
// nodes is in a queue. That is why a select that both sends to and receives from one channel cannot meet itself, and
// why two selects that meet cannot both have claimed the other. The contexts come after the locks, because contexts
// have locks of their own. Nothing is tried after that, so a context that becomes done meanwhile can claim at once.
//
// Who may touch what belongs to the select (the waiter, nodes and elements, all of them on its stack):
//   a node in a queue     The holder of the channel's lock. A thread that takes a node out and cannot claim its waiter
//                         forgets the node under the same lock. So once the loser's channel has been locked again, to
//                         take its node out, no other thread knows that node.
//   the claimed node      Its claimant, until the claimant calls ready(). The claimant has taken the node out itself.
//                         So the select need not lock the channel again, and does not touch it any more: the channel's
//                         last handle may be the counterpart's, and the counterpart may be gone.
//   the waiter            The claimant, as above; and the clock, which wait() stops before it returns.
//   a subscription        The canceller, until unsubscribe() has returned.
//
// A value that is to be copied is copied without a lock, and only when its case might be chosen: when the channel seems
// ready, or the select has to wait. If step 2 finds a ready channel whose value has not been made yet, the select
// releases the locks, makes the value, and begins step 2 again. This happens at most once per case.
//
// Each ready case is drawn with the same probability. Two more things are drawn: the order in which several cases wait
// for one channel, and which one of several cases of one context is told of its end. The generator's state is a word
// that is picked by the caller's stack and written without a locked instruction. Two agents that share one may draw the
// same number, which does no harm.
#include <baton/runtime/detail/select_core.h>

#include <baton/runtime/context.h>
#include <baton/runtime/detail/done_link.h>
#include <baton/sched/park.h>
#include <baton/sched/waiter.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <new>
#include <utility>

namespace baton::detail {

namespace mo = sched::platform::mo;

namespace {

struct alignas(64) random_state {
  sched::platform::atomic<std::uint64_t> word{0};
};
std::array<random_state, 64> random_states;

}  // namespace

std::size_t draw(std::size_t n) noexcept {
  if (n == 1) return 0;
  constexpr std::uint64_t golden = 0x9E3779B97F4A7C15U;
  const auto stack = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  // Stacks differ above the bits of a page.
  auto& word = random_states[((stack >> 12) * golden) >> 58].word;
  std::uint64_t x = word.load(mo::relaxed) + golden;
  word.store(x, mo::relaxed);
  // The finalizer of splitmix64: a permutation whose every output bit depends on every input bit.
  x += stack;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  x ^= x >> 31;
  return ((x >> 32) * n) >> 32;
}

namespace {

using kind = select_entry::kind;

// The code that a select's waiter is claimed with: the case, and whether its channel was closed.
constexpr std::uint32_t code_of(std::size_t index, bool closed) noexcept {
  return sched::waiter::first_free + 2 * static_cast<std::uint32_t>(index) + (closed ? 1 : 0);
}
constexpr select_result result_of(std::uint32_t code) noexcept {
  const std::uint32_t n = code - sched::waiter::first_free;
  return {n / 2, n % 2 == 0};
}

static_assert(sizeof(channel_node) <= select_link::size && alignof(channel_node) <= alignof(select_link));
static_assert(sizeof(done_link) <= select_link::size && alignof(done_link) <= alignof(select_link));

template <class Link>
Link& link_at(const select_frame& f, std::size_t i) noexcept {
  return *std::launder(reinterpret_cast<Link*>(f.links[i].bytes));
}

bool on_channel(const select_entry& e) noexcept { return e.what >= kind::send; }

// Requires: no lock is held.
void make_value(select_entry& e) {
  if (e.make == nullptr) return;
  e.element = e.make(e.element);
  e.make = nullptr;
}

// For an entry that can be ready by itself. Without the lock of its channel the answer is a hint. With the lock no
// waiter can be missed, but a waiter may have been claimed already.
bool seems_ready(const select_entry& e) noexcept {
  switch (e.what) {
    case kind::send: return e.channel->seems_ready_to_send();
    case kind::receive: return e.channel->seems_ready_to_receive();
    case kind::done: return e.ctx->is_done();
    default: return false;
  }
}

// The two places where a transfer is tried. Requires: the entry's value has been made.
channel_status attempt_alone(const select_entry& e) noexcept {
  return e.what == kind::send ? e.channel->try_send(e.element) : e.channel->try_receive(e.element);
}
channel_status attempt_locked(const select_entry& e, transfer& t) noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return e.what == kind::send ? e.channel->attempt_send(e.element, t) : e.channel->attempt_receive(e.element, t);
}

class selecting {
 public:
  explicit selecting(const select_frame& frame) noexcept : f_(frame) {}

  select_result run() {
    select_result r{none, true};
    if (look(r)) {
      sched::yield_if_due();
      return r;
    }
    find_other_ends();
    collect_locks();
    if (otherwise_ == none && !time_has_come_) {
      for (std::size_t i = 0; i < f_.count; ++i) make_value(f_.entries[i]);
      return wait();
    }
    for (;;) {
      lock_all();
      const std::size_t unmade = ask(r);
      unlock_all();
      if (unmade == none) break;
      make_value(f_.entries[unmade]);
    }
    if (r.index == none) r.index = otherwise_ != none ? otherwise_ : first_time_;
    return finish(r);
  }

 private:
  static constexpr std::size_t none = select_frame::none;

  // Puts the entries that seem ready into `order`; returns their number.
  std::size_t collect_ready() const noexcept {
    std::size_t n = 0;
    for (std::size_t i = 0; i < f_.count; ++i) {
      if (seems_ready(f_.entries[i])) f_.order[n++] = static_cast<std::uint32_t>(i);
    }
    return n;
  }
  // Takes one of the n entries out.
  std::size_t draw_ready(std::size_t n) const noexcept {
    std::uint32_t& drawn = f_.order[draw(n)];
    return std::exchange(drawn, f_.order[n - 1]);
  }

  // Step 1. Returns true if a case was chosen.
  bool look(select_result& r) const {
    for (std::size_t n = collect_ready(); n > 0; --n) {
      const std::size_t i = draw_ready(n);
      select_entry& e = f_.entries[i];
      channel_status s = channel_status::ok;
      if (on_channel(e)) {
        make_value(e);
        s = attempt_alone(e);
        if (s == channel_status::would_block) continue;
      }
      r = {i, s == channel_status::ok};
      return true;
    }
    return false;
  }

  // Finds how the select ends if nothing is ready: by `otherwise`, or by the earliest time.
  void find_other_ends() noexcept {
    deadline_ns_ = f_.deadline_ns;
    std::int64_t now = 0;  // not known
    if (deadline_ns_ != sched::platform::forever_ns) now = sched::platform::now_ns();
    for (std::size_t i = 0; i < f_.count; ++i) {
      const select_entry& e = f_.entries[i];
      if (e.what == kind::otherwise && otherwise_ == none) otherwise_ = i;
      if (e.what != kind::timeout && e.what != kind::deadline) continue;
      if (now == 0) now = sched::platform::now_ns();
      std::int64_t at = e.ns;
      if (e.what == kind::timeout) {
        if (f_.began_ns == 0) f_.began_ns = now;
        at = f_.began_ns + std::clamp<std::int64_t>(at, 0, sched::platform::forever_ns - f_.began_ns);
      }
      if (at >= deadline_ns_) continue;
      deadline_ns_ = at;
      first_time_ = i;
    }
    time_has_come_ = deadline_ns_ <= now;
  }

  void collect_locks() noexcept {
    channel_core** const begin = f_.locks;
    channel_core** end = begin;
    for (std::size_t i = 0; i < f_.count; ++i) {
      if (on_channel(f_.entries[i])) *end++ = f_.entries[i].channel;
    }
    constexpr std::ptrdiff_t few = 12;
    if (end - begin > few) {
      std::sort(begin, end, std::less<>());
    } else {
      for (channel_core** at = begin; at != end; ++at) {
        channel_core* const c = *at;
        channel_core** to = at;
        for (; to != begin && std::less<>()(c, to[-1]); --to) *to = to[-1];
        *to = c;
      }
    }
    locks_end_ = std::unique(begin, end);
    one_channel_twice_ = locks_end_ != end;
  }
  void lock_all() const noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (channel_core** c = f_.locks; c != locks_end_; ++c) (*c)->lock();
  }
  void unlock_all() const noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (channel_core** c = f_.locks; c != locks_end_; ++c) (*c)->unlock();
  }

  // Step 2, under all locks. Returns a drawn case whose value has to be made first. Otherwise returns none, and changes
  // r if a case was chosen.
  std::size_t ask(select_result& r) noexcept {
    for (std::size_t n = collect_ready(); n > 0; --n) {
      const std::size_t i = draw_ready(n);
      const select_entry& e = f_.entries[i];
      channel_status s = channel_status::ok;
      if (on_channel(e)) {
        if (e.make != nullptr) return i;
        s = attempt_locked(e, transfer_);
        if (s == channel_status::would_block) continue;
      }
      r = {i, s == channel_status::ok};
      return none;
    }
    return none;
  }

  // Called after the locks are released.
  select_result finish(select_result r) noexcept {
    transfer_.finish();
    sched::yield_if_due();
    return r;
  }

  // Steps 2 and 3, for a select that has neither `otherwise` nor a time that has come.
  select_result wait() {
    sched::waiter w;
    select_result r{none, true};
    lock_all();
    static_cast<void>(ask(r));
    if (r.index != none) {
      unlock_all();
      return finish(r);
    }
    w.prepare(sched::wait_reason::select);
    enqueue(w);
    unlock_all();

    std::size_t subscribed = 0;
    std::uint32_t outcome = subscribe(w, subscribed);
    if (outcome == sched::waiter::open) outcome = w.wait(deadline_ns_);
    const bool timed_out = outcome == sched::waiter::timed_out;
    if (!timed_out) r = result_of(outcome);
    leave(r.index, subscribed);
    if (timed_out) {
      r.index = first_time_;
    } else if (f_.entries[r.index].what == kind::done) {
      r.index = draw_of_context(r.index);
    }
    return r;
  }

  // If several cases are of one context, the same case would always be told first. So one of them is drawn.
  std::size_t draw_of_context(std::size_t told) const noexcept {
    std::size_t n = 0;
    for (std::size_t i = 0; i < f_.count; ++i) {
      const select_entry& e = f_.entries[i];
      if (e.what == kind::done && *e.ctx == *f_.entries[told].ctx) f_.order[n++] = static_cast<std::uint32_t>(i);
    }
    return f_.order[draw(n)];
  }

  // If several cases are on one channel, the first in its queue would be served before the others whenever the select
  // waits. So their order is drawn.
  void enqueue(sched::waiter& w) const noexcept {
    if (__builtin_expect(!one_channel_twice_, 1)) {
      for (std::size_t i = 0; i < f_.count; ++i) enqueue_one(w, i);
      return;
    }
    for (std::size_t i = 0; i < f_.count; ++i) f_.order[i] = static_cast<std::uint32_t>(i);
    for (std::size_t n = f_.count; n > 0; --n) enqueue_one(w, draw_ready(n));
  }

  void enqueue_one(sched::waiter& w, std::size_t i) const noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const select_entry& e = f_.entries[i];
    if (!on_channel(e)) return;
    auto* const n = ::new (f_.links[i].bytes) channel_node;
    n->who = &w;
    n->element = e.element;
    n->on_transfer = code_of(i, false);
    n->on_close = code_of(i, true);
    if (e.what == kind::send) {
      e.channel->wait_to_send(*n);
    } else {
      e.channel->wait_to_receive(*n);
    }
  }

  // Subscribes to the contexts. The entries before `end` have to be unsubscribed later. Returns open, or the outcome if
  // a context was done already and no other claim was faster.
  std::uint32_t subscribe(sched::waiter& w, std::size_t& end) const noexcept {
    for (; end < f_.count; ++end) {
      const select_entry& e = f_.entries[end];
      if (e.what != kind::done) continue;
      const std::uint32_t code = code_of(end, false);
      auto* const link = ::new (f_.links[end].bytes) done_link(w, code, e.ctx->as_cancellation());
      if (link->subscribe()) continue;
      link->~done_link();
      if (!w.claim(code)) return sched::waiter::open;  // wait() will say how
      sched::cancel_park(w.who());
      return code;
    }
    return sched::waiter::open;
  }

  // Takes back all nodes but the winner's, which its claimant has taken out.
  void leave(std::size_t winner, std::size_t subscribed) const noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (std::size_t i = 0; i < f_.count; ++i) {
      const select_entry& e = f_.entries[i];
      if (e.what == kind::done && i < subscribed) {
        auto& link = link_at<done_link>(f_, i);
        link.unsubscribe();
        link.~done_link();
      } else if (on_channel(e) && i != winner) {
        auto& n = link_at<channel_node>(f_, i);
        e.channel->lock();
        if (e.what == kind::send) {
          e.channel->stop_waiting_to_send(n);
        } else {
          e.channel->stop_waiting_to_receive(n);
        }
        e.channel->unlock();
      }
    }
  }

  const select_frame& f_;
  channel_core** locks_end_ = nullptr;
  std::size_t otherwise_ = none;
  std::size_t first_time_ = none;  // the case with the earliest time; none: the frame's deadline
  std::int64_t deadline_ns_ = sched::platform::forever_ns;
  bool time_has_come_ = false;
  bool one_channel_twice_ = false;
  transfer transfer_;
};

}  // namespace

select_result run_select(const select_frame& frame) {
  for (;;) {
    const select_result r = selecting(frame).run();
    if (r.index == select_frame::none) return r;
    select_entry& e = frame.entries[r.index];
    if (e.what != kind::deadline || e.element == nullptr) return r;
    const auto& clock = *static_cast<const select_clock*>(e.element);
    const std::int64_t ns = clock.later(clock);
    if (ns == 0) return r;
    e.ns = ns;  // its clock is slow, or was set back: the select starts again
  }
}

}  // namespace baton::detail
