// The permits and the bit "there are waiters" are one word.
//
//   acquire   no waiter and enough permits: CAS them away. Otherwise, under list_lock_, CAS waiting
//             in, join the list, park; the agent that wakes this one has taken the permits for it.
//   release   no waiter: CAS them in, and that is all. Otherwise, under list_lock_, give the permits
//             of the word and the new ones to the first waiters, as far as they go. If waiters are left, the
//             permits that are left over stay in the word, out of reach of newcomers because waiting is set. If
//             no waiter is left, the word becomes (0, no waiter), and the rest is added from the start again,
//             after the unlock.
//   time-out, or a context that is done
//             under list_lock_ leave the list; then a release of nothing, because the waiters behind may need
//             no more than what is there.
//
// waiting is set and cleared under list_lock_ only.
//
// Destruction: an acquire() that gets permits without the lock sees them in a word without waiting, and permits come
// into such a word only by the last CAS of a release(). The waiters that permits were given to are readied after that
// CAS, and the list's unlock comes before it.
#include <baton/runtime/semaphore.h>

#include <baton/runtime/detail/unless_done.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>

namespace baton {

namespace mo = sched::platform::mo;

struct semaphore::request : sched::waiter {
  explicit request(std::int64_t permits) noexcept : wanted(permits) {}
  const std::int64_t wanted;
};

void semaphore::out_of_range(std::ptrdiff_t n) noexcept {
  sched::fatal("semaphore: %td permits at the start are out of range", n);
}

bool semaphore::try_acquire(std::ptrdiff_t n) noexcept {
  if (n < 0) sched::fatal("semaphore: acquire of %td permits", n);
  std::int64_t seen = word_.load(mo::relaxed);
  do {
    if (n == 0) return true;
    if ((seen & waiting_bit) != 0 || seen >> 1 < n) return false;
    // acquire: pairs with the release in release().
  } while (!word_.compare_exchange_weak(seen, seen - n * one, mo::acquire, mo::relaxed));
  return true;
}

// `wait` waits for the outcome of a request that is in the list. Returns false if a deadline or a context ended it.
template <class Wait>
bool semaphore::acquire_by(std::ptrdiff_t n, const Wait& wait) {
  for (;;) {
    if (try_acquire(n)) {
      sched::yield_if_due();
      return true;
    }
    if (n > max()) sched::fatal("semaphore: acquire of %td permits; there are never more than %td", n, max());
    request r(n);
    if (!enqueue(r)) continue;
    if (wait(r) == sched::waiter::signalled) return true;
    {
      const sched::platform::lock_guard guard(list_lock_);
      waiters_.remove(r);
    }
    release(0);
    return false;
  }
}

bool semaphore::acquire_deadline(std::ptrdiff_t n, std::int64_t deadline_ns) noexcept {
  return acquire_by(n, [deadline_ns](sched::waiter& w) { return w.wait(deadline_ns); });
}

absl::Status semaphore::acquire(const context& ctx, std::ptrdiff_t n) {
  return detail::unless_done(ctx, "acquire of a semaphore",
                             [this, n](const auto& wait) { return acquire_by(n, wait); });
}

// Returns false if there are enough permits now; the request is not prepared then, and in no list.
bool semaphore::enqueue(request& r) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  std::int64_t seen = word_.load(mo::relaxed);
  do {
    if ((seen & waiting_bit) != 0) break;
    if (seen >> 1 >= r.wanted) return false;
  } while (!word_.compare_exchange_weak(seen, seen | waiting_bit, mo::relaxed, mo::relaxed));
  r.prepare(sched::wait_reason::semaphore);
  waiters_.push_back(r);
  return true;
}

void semaphore::release(std::ptrdiff_t n) noexcept {
  if (n < 0) sched::fatal("semaphore: release of %td permits", n);
  sched::waiter_list granted;
  std::int64_t rest = n;
  std::int64_t seen = word_.load(mo::relaxed);
  for (;;) {
    if (rest > max() - (seen >> 1)) sched::fatal("semaphore: more than max() permits");
    if ((seen & waiting_bit) != 0) {
      rest = grant(rest, granted);
      if (rest == 0) break;
      seen = word_.load(mo::relaxed);
    } else if (rest == 0 ||
               // release: pairs with the acquire in try_acquire().
               word_.compare_exchange_weak(seen, seen + rest * one, mo::release, mo::relaxed)) {
      break;
    }
  }
  while (sched::waiter* const w = granted.pop_front()) sched::ready(w->who());
}

// Gives n more permits to the waiters. Returns how many are left over, for a word without waiters.
std::int64_t semaphore::grant(std::int64_t n, sched::waiter_list& granted) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  // acquire: permits that came in before there were waiters; what their givers wrote goes on by ready() or by
  // the CAS in release().
  const std::int64_t seen = word_.load(mo::acquire);
  if ((seen & waiting_bit) == 0) return n;
  // No other agent writes the word while waiting is set and this one holds the lock.
  std::int64_t pool = (seen >> 1) + n;
  while (sched::waiter* const w = waiters_.front()) {
    const request& r = *static_cast<request*>(w);
    // A request that is not open has been ended otherwise, and is about to take itself off.
    if (r.wanted > pool && r.is_open()) break;
    static_cast<void>(waiters_.pop_front());
    if (w->claim(sched::waiter::signalled)) {
      pool -= r.wanted;
      granted.push_back(*w);
    }
  }
  if (waiters_.empty()) {
    word_.store(0, mo::relaxed);
    return pool;
  }
  word_.store(pool * one | waiting_bit, mo::relaxed);
  return 0;
}

}  // namespace baton
