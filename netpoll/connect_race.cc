// Connects to one of several addresses (RFC 8305, "happy eyeballs").
//
//   1. Begin with the first address, and wait for it no longer than the head start. Most dials end here, and occupy
//      only the caller.
//   2. There is no answer yet: a fiber goes on waiting for that attempt. The next address begins, with a fiber of its
//      own. The caller waits until one of the fibers has ended or the head start is over, then begins with the next
//      address.
//   3. One attempt is connected, or all have failed. The others are closed, which ends their fibers. The caller joins
//      them: nothing is left behind.
//
// The caller owns the attempts and the race. A fiber touches them until it ends, and the caller waits for that end.
// Every attempt has the time limit and the context, so these end the fibers, and the fibers end the caller's wait.
//
// After exit() there are no fibers. Then each address is waited for in turn, without a head start.
#include <baton/netpoll/connect.h>

#include <baton/sched/durations.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/spawn.h>
#include <baton/sched/waiter.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <new>
#include <utility>

namespace baton::net {

namespace {

using sched::platform::forever_ns;

// How often an address is tried if its attempt failed by bad luck.
constexpr int tries_max = 3;

class race {
 public:
  race(const std::vector<address>& to, const connect_options& options) : to_(to), options_(options) {}
  ~race() {
    for (racer& r : racers_) r.attempt.close();
    for (racer& r : racers_) r.join();
  }
  race(const race&) = delete;
  race& operator=(const race&) = delete;

  absl::StatusOr<tcp_stream> run();

 private:
  struct racer {
    racer(const address& to, const connect_options& options, std::size_t place) : attempt(to, options), index(place) {}
    void join() noexcept {
      if (fiber == nullptr) return;
      sched::join_fiber(fiber);
      sched::release_fiber(std::exchange(fiber, nullptr));
    }
    connect_attempt attempt;
    const std::size_t index;  // of the address
    sched::fiber* fiber = nullptr;
    race* owner = nullptr;
  };

  enum class outcome { connected, failed, under_way };

  outcome try_address(std::size_t index);
  bool go_on_beside(racer& r);
  void ended(racer& r, absl::Status status) noexcept;
  bool wait_for_change(std::int64_t deadline_ns) noexcept;
  void note(std::size_t index, absl::Status error) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static void serve(sched::fiber* self, void* closure) noexcept;

  const std::vector<address>& to_;
  const connect_options& options_;
  std::deque<racer> racers_;  // their addresses do not change
  racer* won_ = nullptr;

  sched::platform::spin_lock lock_;
  int running_ ABSL_GUARDED_BY(lock_) = 0;  // fibers that have not ended
  bool changed_ ABSL_GUARDED_BY(lock_) = false;
  racer* fastest_ ABSL_GUARDED_BY(lock_) = nullptr;
  // The error of the first address that has failed.
  absl::Status error_ ABSL_GUARDED_BY(lock_);
  std::size_t error_index_ ABSL_GUARDED_BY(lock_) = 0;
  sched::waiter* caller_ ABSL_GUARDED_BY(lock_) = nullptr;
};

void race::serve(sched::fiber*, void* closure) noexcept {
  racer& r = **static_cast<racer**>(closure);
  absl::Status status;
  try {
    status = r.attempt.finish();
  } catch (const std::exception&) {  // no memory for the error's text
    status = absl::Status(absl::StatusCode::kResourceExhausted, "");
  }
  r.owner->ended(r, std::move(status));
}

void race::note(std::size_t index, absl::Status error) noexcept {
  if (!error_.ok() && error_index_ <= index) return;
  error_ = std::move(error);
  error_index_ = index;
}

void race::ended(racer& r, absl::Status status) noexcept {
  sched::agent* wake = nullptr;
  {
    const sched::platform::lock_guard hold(lock_);
    --running_;
    changed_ = true;
    if (!status.ok()) {
      note(r.index, std::move(status));
    } else if (fastest_ == nullptr) {
      fastest_ = &r;
    }
    if (caller_ != nullptr && caller_->claim(sched::waiter::signalled)) wake = caller_->who();
    caller_ = nullptr;
  }
  if (wake != nullptr) sched::ready(wake);
}

// Switches. Returns true if a fiber has ended. Returns false if the time is up, or there is no fiber to wait for.
bool race::wait_for_change(std::int64_t deadline_ns) noexcept {
  sched::waiter w;
  {
    const sched::platform::lock_guard hold(lock_);
    if (std::exchange(changed_, false)) return true;
    if (running_ == 0) return false;
    w.prepare(sched::wait_reason::connect);
    caller_ = &w;
  }
  static_cast<void>(w.wait(deadline_ns));
  const sched::platform::lock_guard hold(lock_);
  if (caller_ == &w) caller_ = nullptr;
  return std::exchange(changed_, false);
}

// Returns true if the attempt has a fiber now, false if there is no memory for one.
bool race::go_on_beside(racer& r) {
  r.attempt.set_deadline(options_.limits.deadline_ns);
  // NOLINTNEXTLINE(bugprone-sizeof-expression): the closure is the pointer
  const sched::prepared_fiber p = sched::prepare_fiber({.name = "dial"}, sizeof(racer*), alignof(racer*));
  if (p.f == nullptr) return false;
  ::new (p.closure) racer*(&r);
  r.owner = this;
  {
    const sched::platform::lock_guard hold(lock_);
    ++running_;
  }
  r.fiber = p.f;
  static constexpr sched::fiber_start start{.entry = serve};
  sched::launch(p.f, start, true);
  return true;
}

// Switches. Begins with an address. If no other attempt is under way, waits for it in place, for the head start.
race::outcome race::try_address(std::size_t index) {
  const bool beside_others = !racers_.empty();
  for (int tries = 1;; ++tries) {
    racer& r = racers_.emplace_back(to_[index], options_, index);
    absl::Status status = r.attempt.begin();
    bool slow = status.ok() && beside_others;
    if (status.ok() && !slow) {
      const std::int64_t all = options_.limits.deadline_ns;
      const bool alone = index + 1 == to_.size() || options_.head_start_ns == forever_ns || sched::is_ending();
      const std::int64_t until = alone ? all : std::min(all, detail::deadline_after_ns(options_.head_start_ns));
      if (until != forever_ns) r.attempt.set_deadline(until);
      status = r.attempt.finish();
      // The kernel's own ETIMEDOUT is final, and so is the time limit of the whole dial.
      slow = until < all && absl::IsDeadlineExceeded(status) && errno_of(status) == 0 && options_.limits.check("").ok();
      if (status.ok()) {
        won_ = &r;
        return outcome::connected;
      }
    }
    if (slow && go_on_beside(r)) return outcome::under_way;
    if (slow) status = absl::ResourceExhaustedError("dial: no memory for a fiber");
    const bool again = r.attempt.may_be_retried() && tries < tries_max;
    racers_.pop_back();
    if (again) continue;
    const sched::platform::lock_guard hold(lock_);
    note(index, std::move(status));
    return outcome::failed;
  }
}

absl::StatusOr<tcp_stream> race::run() {
  for (std::size_t i = 0; i < to_.size() && won_ == nullptr; ++i) {
    const bool has_waited = racers_.empty();  // in place, if an attempt is under way afterwards
    const outcome o = try_address(i);
    if (o == outcome::connected || !options_.limits.check("").ok()) break;
    if (o == outcome::failed || has_waited || i + 1 == to_.size()) continue;
    // If an attempt that is under way fails, the next one begins at once.
    static_cast<void>(wait_for_change(detail::deadline_after_ns(options_.head_start_ns)));
    const sched::platform::lock_guard hold(lock_);
    won_ = fastest_;
  }
  while (won_ == nullptr && wait_for_change(forever_ns)) {
    const sched::platform::lock_guard hold(lock_);
    won_ = fastest_;
  }
  if (won_ != nullptr) {
    won_->join();
    return won_->attempt.take();
  }
  if (absl::Status s = options_.limits.check("dial " + to_.front().to_string()); !s.ok()) return s;
  const sched::platform::lock_guard hold(lock_);
  return error_;
}

// Orders the addresses so that the families take turns, beginning with the family of the first address.
std::vector<address> in_turns(const std::vector<address>& all) {
  const address::family first = all.front().kind();
  std::vector<address> ours;
  std::vector<address> others;
  for (const address& a : all) (a.kind() == first ? ours : others).push_back(a);
  std::vector<address> order;
  for (std::size_t i = 0; i < ours.size() || i < others.size(); ++i) {
    if (i < ours.size()) order.push_back(ours[i]);
    if (i < others.size()) order.push_back(others[i]);
  }
  return order;
}

}  // namespace

absl::StatusOr<tcp_stream> connect_to_any(const std::vector<address>& to, const connect_options& options) {
  if (to.empty()) return absl::InvalidArgumentError("dial: no address");
  const std::vector<address> order = in_turns(to);
  return race(order, options).run();
}

}  // namespace baton::net
