// One lock guards the count and the list.
//
//   enter    if there is room (so no call waits), count up; otherwise join the list and park
//   leave    count down; while there is room and a waiter, count up for the first waiter: usually for one
//   give up  (the deadline or the context ended the wait) leave the list; this frees no place
//
// Invariant: while the list has an unclaimed waiter, there was no room at the last leave. The width of the runtime's
// own gates follows max_threads. A waiter that a deadline or a context has claimed is about to remove itself from the
// list; leave() passes it over.
//
// Destruction: leave() readies the waiter that it gives a place to after the unlock, and does not touch the gate after
// that. A waiter that gives up touches the gate within a call that has not returned.
#include <baton/syscall/blocking_gate.h>

#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/status.h>

#include <algorithm>
#include <string>

namespace baton {

struct blocking_gate::request : sched::waiter {
  std::int64_t since_ns = 0;
};

namespace {

namespace mo = sched::platform::mo;

// relaxed, wherever they are used: numbers for a reader, which order nothing. Only calls that wait touch them.
constinit sched::platform::atomic<std::uint64_t> all_waiting{0};
constinit sched::platform::atomic<std::uint64_t> all_waits{0};
constinit sched::platform::atomic<std::uint64_t> all_waited_ns{0};

}  // namespace

namespace detail {

gate_totals read_gate_totals() noexcept {
  return {all_waiting.load(mo::relaxed), all_waits.load(mo::relaxed), all_waited_ns.load(mo::relaxed)};
}

}  // namespace detail

void blocking_gate::too_narrow(int at_once) noexcept {
  sched::fatal("blocking_gate: %d at once; it takes at least 1", at_once);
}

int blocking_gate::share() const noexcept { return std::clamp(sched::max_threads() / 4, 1, at_once_); }

blocking_gate::~blocking_gate() {
  std::uint64_t waiting = 0;
  int inside = 0;
  {
    const sched::platform::lock_guard guard(lock_);
    waiting = waiting_;
    inside = inside_;
  }
  if (inside == 0 || sched::is_ending()) return;  // after exit() no call gets on or touches the gate
  if (waiting != 0) {
    sched::fatal("a blocking_gate is destroyed while %llu calls wait for room in it",
                 static_cast<unsigned long long>(waiting));
  }
  sched::fatal("a blocking_gate is destroyed while %d calls are inside it", inside);
}

gate_stats blocking_gate::stats() const noexcept {
  gate_stats s;
  const std::int64_t now = sched::platform::now_ns();
  const sched::platform::lock_guard guard(lock_);
  s.at_once = width();
  s.inside = static_cast<std::uint64_t>(inside_);
  s.waiting = waiting_;
  if (const sched::waiter* const first = waiters_.front()) {
    s.waiting_longest =
        std::chrono::nanoseconds(std::max<std::int64_t>(now - static_cast<const request*>(first)->since_ns, 0));
  }
  s.waits = waits_;
  s.waited = std::chrono::nanoseconds(waited_ns_);
  s.waited_longest = std::chrono::nanoseconds(waited_longest_ns_);
  return s;
}

// Returns true if the caller is inside. Returns false if its request is in the list, and prepared.
bool blocking_gate::enter_or_enqueue(request& r) noexcept {
  {
    const sched::platform::lock_guard guard(lock_);
    if (inside_ < width()) {
      ++inside_;
      return true;
    }
  }
  r.since_ns = sched::platform::now_ns();  // 25 ns, which callers that find room save
  const sched::platform::lock_guard guard(lock_);
  if (inside_ < width()) {
    ++inside_;
    return true;
  }
  r.prepare(sched::wait_reason::blocking_gate);
  waiters_.push_back(r);
  ++waiting_;
  all_waiting.fetch_add(1, mo::relaxed);
  return false;
}

void blocking_gate::account(const request& r) noexcept {
  const std::int64_t waited = std::max<std::int64_t>(sched::platform::now_ns() - r.since_ns, 0);
  --waiting_;
  ++waits_;
  waited_ns_ += waited;
  waited_longest_ns_ = std::max(waited_longest_ns_, waited);
  all_waiting.fetch_sub(1, mo::relaxed);
  all_waits.fetch_add(1, mo::relaxed);
  all_waited_ns.fetch_add(static_cast<std::uint64_t>(waited), mo::relaxed);
}

void blocking_gate::give_up(request& r) noexcept {
  const sched::platform::lock_guard guard(lock_);
  // If the request is not there, leave() has come across it and passed it over.
  if (waiters_.contains(r)) {
    waiters_.remove(r);
    account(r);
  }
}

void blocking_gate::leave() noexcept {
  sched::waiter_list next;
  const int room = width();
  {
    const sched::platform::lock_guard guard(lock_);
    --inside_;
    while (inside_ < room) {
      sched::waiter* const w = waiters_.pop_front();
      if (w == nullptr) break;
      account(*static_cast<request*>(w));
      if (!w->claim(sched::waiter::signalled)) continue;
      ++inside_;
      next.push_back(*w);
    }
  }
  while (sched::waiter* const w = next.pop_front()) sched::ready(w->who());
}

namespace detail {

std::uint32_t gate_entry::enter(std::int64_t deadline_ns, canceller* cancel) noexcept {
  if (deadline_ns != sched::platform::forever_ns && sched::platform::now_ns() >= deadline_ns) {
    return sched::waiter::timed_out;
  }
  blocking_gate::request r;
  if (gate_.enter_or_enqueue(r)) {
    entered_ = true;
    return sched::waiter::signalled;
  }
  if (cancel != nullptr) cancel->subscribe(r);
  const std::uint32_t outcome = r.wait(deadline_ns);
  if (cancel != nullptr) cancel->unsubscribe();
  entered_ = outcome == sched::waiter::signalled;
  if (!entered_) gate_.give_up(r);
  return outcome;
}

std::string gate_entry::what() const { return "wait for room in a blocking_gate of " + std::to_string(gate_.width()); }

absl::Status gate_entry::expired() const { return absl::DeadlineExceededError(what() + ": deadline exceeded"); }

absl::Status gate_entry::cancelled(const absl::Status& reason) const { return status_for_reason(reason, what()); }

}  // namespace detail
}  // namespace baton
