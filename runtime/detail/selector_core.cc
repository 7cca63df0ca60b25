// A selector leaves its cases where they can be told of events: a node in the queue of a channel, a subscription to a
// context. So a wait looks only at the cases to which something has happened, and costs what they cost.
//
// A case is in one of four places:
//   to try    In to_try_: it is new, was chosen by the last wait, or was told. Its readiness is not known; a wait tries
//             it.
//   told of   It was tried and was not ready; in the same step, under the channel's lock, its node went into the queue.
//             A thread that makes the channel ready for it takes the node out first, under that lock (channel_core.cc),
//             and calls claim(). If the selector waits, it is claimed with this case. If not, the case is noted in
//             told_, and the next wait moves it to the cases to try.
//   aside     A time, or `otherwise`, in order.
//   nowhere   Never ready: when(false, …), a value that was sent.
//
// A wait
//   1. moves the told cases to those to try, and draws one of these after the other. If the drawn case is ready, the
//      wait ends with it; the case stays among those to try. Otherwise the case is in "told of" from then on.
//   2. When no case is left to try, no case was ready at one moment: the moment when the wait sees, under lock_, that
//      told_ is empty. `otherwise`, and a time that has come, rely on that moment, and in it the waiter is published.
//   3. parks until a case, or the time, claims it.
//
// Exactly one case is chosen: the waiter is claimed by one compare-and-swap, which the clock does without lock_ and all
// others do under it. A node whose claim fails is noted, so nothing that happens meanwhile is lost. If several cases
// are on one channel, the one in front is served. They enter the queue in a drawn order, and go to its end after they
// have been served.
//
// A selector never meets itself: when it tries a case it passes over its own nodes (attempt_send_but()).
//
// Lock order: a channel's lock, then lock_. One agent at a time may use a selector, except for claim() and cancelled().
//
// A chosen case is marked as stale before its function runs, because the function may wait on the same selector. The
// next wait that tries the case describes it again.
#include <baton/runtime/detail/selector_core.h>

#include <baton/runtime/context.h>
#include <baton/sched/park.h>

#include <algorithm>

namespace baton::detail {

namespace platform = sched::platform;
using kind = select_entry::kind;

void any_case::cancelled() noexcept { home_->context_done(*this); }

// ---- cases come and go ----

selector_core::~selector_core() {
  for (const auto& [index, c] : cases_) withdraw(*c);
}

selector_core::times* selector_core::times_of(const any_case& c) noexcept {
  switch (c.entry_.what) {
    case kind::timeout: return &timeouts_;
    case kind::deadline: return &deadlines_;
    case kind::otherwise: return &others_;
    default: return nullptr;
  }
}

std::size_t selector_core::add(std::shared_ptr<any_case> c) {
  any_case& added = *c;
  const std::size_t n = cases_.size() + 1;
  if (to_try_.capacity() < n) to_try_.reserve(std::max<std::size_t>(8, 2 * n));
  added.home_ = this;
  added.index_ = next_index_;
  added.describe(added.entry_);
  added.stale_ = false;
  const auto at = cases_.emplace(next_index_, std::move(c)).first;
  if (times* const t = times_of(added)) {
    if (added.entry_.what == kind::otherwise) added.entry_.ns = 0;
    try {
      t->emplace(added.entry_.ns, added.index_);
    } catch (...) {
      cases_.erase(at);
      throw;
    }
    added.place_ = any_case::place::aside;
  } else if (added.entry_.what != kind::disabled) {
    put_to_try(added);
  }
  return next_index_++;
}

void selector_core::remove(std::size_t index) noexcept {
  const auto at = cases_.find(index);
  if (at == cases_.end()) return;
  // Destroyed when the selector is consistent again: the destructor of what it owns may use the selector.
  const std::shared_ptr<any_case> removed = std::move(at->second);
  cases_.erase(at);
  withdraw(*removed);
}

void selector_core::withdraw(any_case& c) noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (times* const t = times_of(c)) t->erase({c.entry_.ns, c.index_});
  if (c.subscribed_) {
    c.source_->unsubscribe(c);
    c.subscribed_ = false;
  }
  if (c.place_ == any_case::place::told_of && c.entry_.what != kind::done) {
    channel_core& channel = *c.entry_.channel;
    channel.lock();
    if (c.entry_.what == kind::send) {
      channel.stop_waiting_to_send(c.node_);
    } else {
      channel.stop_waiting_to_receive(c.node_);
    }
    channel.unlock();
  }
  // No thread tells it any more, but one may have told it before.
  collect_told();
  if (c.place_ == any_case::place::to_try) take_from_try(c);
  c.place_ = any_case::place::nowhere;
}

void selector_core::put_to_try(any_case& c) noexcept {
  c.place_ = any_case::place::to_try;
  c.position_ = to_try_.size();
  to_try_.push_back(&c);
}

void selector_core::take_from_try(any_case& c) noexcept {
  any_case* const last = to_try_.back();
  last->position_ = c.position_;
  to_try_[c.position_] = last;
  to_try_.pop_back();
}

// ---- what others tell ----

// Returns true if the waiter is claimed for the case.
bool selector_core::claim_or_note(any_case& c, std::uint32_t how) noexcept {
  if (waiting_ != nullptr && waiting_->claim(how)) {
    winner_ = &c;
    return true;
  }
  c.next_told_ = std::exchange(told_, &c);
  return false;
}

bool selector_core::claim(channel_node& n, std::uint32_t how) noexcept {
  const platform::lock_guard hold(lock_);
  if (!claim_or_note(*static_cast<any_case::kept_node&>(n).of, how)) return false;
  n.who = waiting_;
  return true;
}

void selector_core::context_done(any_case& c) noexcept {
  sched::agent* who = nullptr;
  {
    const platform::lock_guard hold(lock_);
    if (!claim_or_note(c, sched::waiter::signalled)) return;
    who = waiting_->who();
  }
  sched::ready(who);
}

void selector_core::collect_told() noexcept {
  any_case* told = nullptr;
  {
    const platform::lock_guard hold(lock_);
    told = std::exchange(told_, nullptr);
  }
  while (told != nullptr) {
    any_case* const c = std::exchange(told, told->next_told_);
    put_to_try(*c);
  }
}

bool selector_core::nothing_told() noexcept {
  const platform::lock_guard hold(lock_);
  return told_ == nullptr;
}

// ---- a wait ----

selector_core::tried selector_core::attempt_on_channel(any_case& c,
                                                       transfer& t) noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const select_entry& e = c.entry_;
  channel_core& channel = *e.channel;
  const bool sends = e.what == kind::send;
  channel.lock();
  const channel_status s =
      sends ? channel.attempt_send_but(this, e.element, t) : channel.attempt_receive_but(this, e.element, t);
  if (s == channel_status::would_block) {
    c.node_.keeper = this;
    c.node_.of = &c;
    c.node_.element = e.element;
    // Before the lock is released: after that it may be told.
    take_from_try(c);
    c.place_ = any_case::place::told_of;
    if (sends) {
      channel.wait_to_send(c.node_);
    } else {
      channel.wait_to_receive(c.node_);
    }
  }
  channel.unlock();
  if (s == channel_status::would_block) return tried::not_ready;
  return s == channel_status::ok ? tried::ok : tried::refused;
}

selector_core::tried selector_core::attempt_on_context(any_case& c) noexcept {
  const context& ctx = *c.entry_.ctx;
  if (ctx.is_done()) return tried::ok;
  take_from_try(c);
  c.place_ = any_case::place::told_of;
  if (c.subscribed_) return tried::not_ready;
  c.source_ = ctx.as_cancellation();
  if (c.source_ == nullptr) return tried::not_ready;  // the background
  c.subscribed_ = true;
  if (c.source_->subscribe(c)) return tried::not_ready;
  c.subscribed_ = false;
  put_to_try(c);
  return tried::ok;
}

selector_core::tried selector_core::attempt(any_case& c) {
  select_entry& e = c.entry_;
  if (c.stale_) {
    e = {};
    c.describe(e);
    c.stale_ = false;
  }
  if (e.what == kind::disabled) {
    take_from_try(c);
    c.place_ = any_case::place::nowhere;
    return tried::not_ready;
  }
  if (e.what == kind::done) return attempt_on_context(c);
  if (e.make != nullptr) {
    e.element = e.make(e.element);  // may throw: then the case stays among those to try
    e.make = nullptr;
  }
  transfer t;
  const tried result = attempt_on_channel(c, t);
  t.finish();
  return result;
}

// Step 1. Returns null if nothing is ready.
any_case* selector_core::choose(bool& ok) {
  collect_told();
  while (!to_try_.empty()) {
    any_case& c = *to_try_[draw(to_try_.size())];
    const tried result = attempt(c);
    if (result == tried::not_ready) continue;
    ok = result == tried::ok;
    return &c;
  }
  return nullptr;
}

// How a wait ends if no case becomes ready.
struct selector_core::ending {
  std::int64_t deadline_ns;
  std::size_t index;  // of the case; select_frame::none: the wait's own time
  bool now;
};

// began_ns: when the wait began, from which timeouts count; 0: not known yet.
selector_core::ending selector_core::find_ending(std::int64_t deadline_ns, std::int64_t& began_ns) const noexcept {
  ending e{deadline_ns, select_frame::none, false};
  if (!others_.empty()) return {deadline_ns, others_.begin()->second, true};
  if (deadline_ns == platform::forever_ns && timeouts_.empty() && deadlines_.empty()) return e;
  const std::int64_t now = platform::now_ns();
  if (began_ns == 0) began_ns = now;
  const auto consider = [&](std::int64_t at, std::size_t index) {
    if (at >= e.deadline_ns) return;
    e.deadline_ns = at;
    e.index = index;
  };
  if (!timeouts_.empty()) {
    const auto [ns, index] = *timeouts_.begin();
    consider(began_ns + std::clamp<std::int64_t>(ns, 0, platform::forever_ns - began_ns), index);
  }
  if (!deadlines_.empty()) consider(deadlines_.begin()->first, deadlines_.begin()->second);
  e.now = e.deadline_ns <= now;
  return e;
}

// Returns true if the case names a point in time that its clock has not reached, because the clock is slower than
// CLOCK_MONOTONIC or was set back. The case then has a later time.
bool selector_core::put_off(any_case& c) {
  select_entry& e = c.entry_;
  if (e.what != kind::deadline || e.element == nullptr) return false;
  const auto& clock = *static_cast<const select_clock*>(e.element);
  const std::int64_t later_ns = clock.later(clock);
  if (later_ns == 0) return false;
  auto moved = deadlines_.extract({e.ns, c.index_});
  e.ns = later_ns;
  moved.value().first = later_ns;
  deadlines_.insert(std::move(moved));
  return true;
}

std::size_t selector_core::run(any_case& c, bool ok) {
  const std::size_t index = c.index_;
  const std::shared_ptr<any_case> running = cases_.find(index)->second;
  if (c.place_ != any_case::place::aside) c.stale_ = true;
  running->run(ok);
  return index;
}

std::optional<std::size_t> selector_core::wait(std::int64_t deadline_ns, std::int64_t& began_ns) {
  std::optional<ending> end;  // counts from the start
  for (;;) {
    bool ok = true;
    if (any_case* const c = choose(ok)) {
      sched::yield_if_due();
      return run(*c, ok);
    }
    if (!end) end = find_ending(deadline_ns, began_ns);
    sched::waiter w;
    if (end->now) {
      if (!nothing_told()) continue;
      sched::yield_if_due();
    } else {
      {
        const platform::lock_guard hold(lock_);
        if (told_ != nullptr) continue;
        w.prepare(sched::wait_reason::select);
        waiting_ = &w;
      }
      const std::uint32_t outcome = w.wait(end->deadline_ns);
      any_case* winner = nullptr;
      {
        const platform::lock_guard hold(lock_);
        waiting_ = nullptr;
        winner = std::exchange(winner_, nullptr);
      }
      if (winner != nullptr) {
        put_to_try(*winner);
        return run(*winner, outcome != sched::waiter::closed);
      }
    }
    if (end->index == select_frame::none) return std::nullopt;
    any_case& ended = *cases_.find(end->index)->second;
    if (!put_off(ended)) return run(ended, true);
    end.reset();
  }
}

}  // namespace baton::detail
