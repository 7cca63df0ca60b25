// One word (shared_mutex.h): a writer's bit, the number of readers, waiting, woken, and "readers wait".
// Two lists under list_lock_, of the writers and of the readers that wait; waiting and "readers wait" are
// set and cleared under it only.
//
//   lock_shared    neither writer nor waiting, nor too many readers: CAS + 1 reader. Too many: abort. (The limit
//                  does not apply to the readers that are let in from the list: they fit into the other half of
//                  the number.) Otherwise, under list_lock_, CAS waiting in while one of the two is set, join
//                  the readers; the agent that wakes this one has counted it.
//   lock           free: CAS + writer, past the waiters (a woken writer clears woken).
//                  Otherwise, under list_lock_, CAS waiting in while the lock is held; join the
//                  writers; wait. Woken: again from the start, and join at the front if another agent was
//                  faster. Handed over: done.
//   unlock         no waiter, or a woken writer competes already and no reader waits: CAS - writer.
//                  Otherwise pass on: all readers that wait are counted and claimed. Only if there is
//                  none, a writer is claimed, unless one was woken already. (A woken writer does not hold up
//                  the readers: it may be waiting for a CPU, and will find the lock held, and join again.)
//   unlock_shared  not the last, or no waiter, or a woken writer competes: CAS - 1 reader. Otherwise
//                  pass on: to a writer; if there is none any more (its time was up), to the readers.
//   pass on        under list_lock_, still as an owner. To readers: the word gets their number at once.
//                  To a writer that has waited for 1 ms: the word becomes "writer" at once. To another
//                  writer: it is claimed, and only after the list's unlock the word is freed and woken
//                  set in one step, so the writer competes with any agent that comes along.
//   time-out, or a context that is done
//                  under list_lock_ leave the list. If that was the last writer and readers hold the
//                  lock, nothing holds up the readers behind it any more: they are let in.
//
// No waiter is forgotten. Suppose there is a waiter. If the lock is held and woken is not set, its last owner passes it
// on; a writer passes it on to readers in any case. If woken is set, that writer will either own the lock, and pass it
// on; or find it held, and join the list, which clears woken. If the lock is free, then woken is set: an agent that
// frees it with waiting set, sets woken. Readers wait only while a writer owns the lock, waits, or was woken; what ends
// the last of these conditions (unlock, leaving the list) lets them in.
//
// Starvation: readers do not pass a writer in the list, and a writer's unlock lets all readers in, so each side waits
// for one turn of the other. Both can pass a woken writer, as in mutex.cc, until it is 1 ms old.
//
// Destruction: the step that frees the lock is the last access to it in each path. Where the lock is handed over, the
// last access is the list's unlock, and the heirs, which hold the lock then, have not been readied yet. What follows
// touches waiters only, whose agents are still inside their calls.
//
// Rejected: a mutex for the writers and a count for the readers, as in Go: after the word is free, the mutex still has
// to be unlocked, which the destruction rule forbids.
#include <baton/runtime/shared_mutex.h>

#include <baton/runtime/detail/unless_done.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/clock.h>

namespace baton {

namespace mo = sched::platform::mo;

namespace {
constexpr std::int64_t starving_after_ns = 1'000'000;
constexpr std::uint32_t handed_over = sched::waiter::first_free;
}  // namespace

struct shared_mutex::lock_waiter : sched::waiter {
  explicit lock_waiter(std::uint64_t ticks) noexcept : since(ticks) {}
  const std::uint64_t since;  // of a writer: when it came first; kept when it is woken and finds the lock taken
};

bool shared_mutex::lock_slow(std::int64_t deadline_ns) noexcept {
  return lock_by([deadline_ns](sched::waiter& w) { return w.wait(deadline_ns); });
}

bool shared_mutex::lock_shared_slow(std::int64_t deadline_ns) noexcept {
  return lock_shared_by([deadline_ns](sched::waiter& w) { return w.wait(deadline_ns); });
}

absl::Status shared_mutex::lock(const context& ctx) {
  return detail::unless_done(ctx, "lock of a shared_mutex",
                             [this](const auto& wait) { return try_at_first() || lock_by(wait); });
}

absl::Status shared_mutex::lock_shared(const context& ctx) {
  return detail::unless_done(ctx, "lock_shared of a shared_mutex",
                             [this](const auto& wait) { return try_shared_at_first() || lock_shared_by(wait); });
}

// `wait` waits for the outcome of a waiter that is in a list. These return false if a deadline or a context ended it.
template <class Wait>
bool shared_mutex::lock_by(const Wait& wait) {
  bool was_woken = false;
  std::uint64_t since = 0;
  for (;;) {
    std::uint32_t seen = word_.load(mo::relaxed);
    while (!held(seen)) {
      const std::uint32_t mine = (seen | writer_bit) & ~(was_woken ? woken_bit : 0U);
      // acquire: pairs with the release of the last owner.
      if (word_.compare_exchange_weak(seen, mine, mo::acquire, mo::relaxed)) return true;
    }
    if (since == 0) since = sched::platform::ticks();
    lock_waiter w(since);
    w.prepare(sched::wait_reason::shared_mutex);
    if (!enqueue_writer(w, was_woken)) {
      sched::cancel_park(w.who());
      continue;
    }
    const std::uint32_t outcome = wait(w);
    if (outcome == handed_over) return true;
    if (outcome != sched::waiter::signalled) {
      leave(w, true);
      return false;
    }
    was_woken = true;
  }
}

template <class Wait>
bool shared_mutex::lock_shared_by(const Wait& wait) {
  for (;;) {
    if (try_lock_shared()) return true;
    if ((word_.load(mo::relaxed) & too_many_bit) != 0) {
      sched::fatal("shared_mutex: 2^27 readers at once; an unlock_shared is missing");
    }
    lock_waiter w(0);
    w.prepare(sched::wait_reason::shared_mutex);
    if (!enqueue_reader(w)) {
      sched::cancel_park(w.who());
      continue;
    }
    if (wait(w) == handed_over) return true;
    leave(w, false);
    return false;
  }
}

// Returns false if the lock is free; the waiter is in no list then.
bool shared_mutex::enqueue_writer(lock_waiter& w, bool was_woken) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  std::uint32_t seen = word_.load(mo::relaxed);
  do {
    if (!held(seen)) return false;
    // relaxed: the lists are ordered by their lock, which the last owner takes when it sees the bit.
  } while (!word_.compare_exchange_weak(seen, (seen | waiting_bit) & ~(was_woken ? woken_bit : 0U), mo::relaxed,
                                        mo::relaxed));
  if (was_woken) {
    waiting_writers_.push_front(w);
  } else {
    waiting_writers_.push_back(w);
  }
  return true;
}

// Returns false if the reader need not wait any more; it is in no list then.
bool shared_mutex::enqueue_reader(lock_waiter& w) noexcept {
  const sched::platform::lock_guard guard(list_lock_);
  std::uint32_t seen = word_.load(mo::relaxed);
  do {
    if ((seen & (writer_bit | waiting_bit)) == 0) return false;
  } while (!word_.compare_exchange_weak(seen, seen | waiting_bit | readers_bit, mo::relaxed, mo::relaxed));
  waiting_readers_.push_back(w);
  return true;
}

// Removes a waiter whose wait was ended otherwise. It may be in the list, or have been taken off already.
void shared_mutex::leave(lock_waiter& w, bool writer) noexcept {
  sched::waiter_list granted;
  {
    const sched::platform::lock_guard guard(list_lock_);
    (writer ? waiting_writers_ : waiting_readers_).remove(w);
    // acquire: what the last writer wrote goes on from here, by ready(), to readers that are let in.
    const std::uint32_t seen = word_.load(mo::acquire);
    std::uint32_t more = 0;
    // The lock is held by readers, and the last of them would have to come here before it is free: waiting is set.
    if (waiting_writers_.empty() && !waiting_readers_.empty() && (seen & (writer_bit | woken_bit)) == 0) {
      more = claim_readers(granted);
    }
    // relaxed: as above.
    if (more != 0) word_.fetch_add(more * one_reader, mo::relaxed);
    word_.fetch_and(~(waiting_bit | readers_bit) | who_waits(), mo::relaxed);
  }
  while (sched::waiter* const r = granted.pop_front()) sched::ready(r->who());
}

// Takes off all readers. Returns how many of them are in `granted`: those whose time is not up.
std::uint32_t shared_mutex::claim_readers(sched::waiter_list& granted) noexcept {
  std::uint32_t n = 0;
  while (sched::waiter* const w = waiting_readers_.claim_front(handed_over)) {
    granted.push_back(*w);
    ++n;
  }
  return n;
}

void shared_mutex::release_slow(bool by_writer) noexcept {
  const std::uint32_t mine = by_writer ? writer_bit : one_reader;
  std::uint32_t seen = word_.load(mo::relaxed);
  for (;;) {
    if (by_writer && (seen & writer_bit) == 0) {
      sched::fatal("unlock of a shared_mutex that is not locked for writing");
    }
    if (!by_writer && seen < one_reader) sched::fatal("unlock_shared of a shared_mutex that nobody reads");
    if (must_pass_on(seen, by_writer)) {
      if (pass_on(by_writer)) return;
      seen = word_.load(mo::relaxed);
      // release: pairs with the acquire of the next owner. Nothing of *this is touched after it.
    } else if (word_.compare_exchange_weak(seen, seen - mine, mo::release, mo::relaxed)) {
      return;
    }
  }
}

// Releases the lock to the waiters. Returns false if there are none any more, or other agents read as well; nothing is
// done then.
bool shared_mutex::pass_on(bool by_writer) noexcept {
  sched::waiter_list granted;
  sched::agent* competitor = nullptr;
  {
    const sched::platform::lock_guard guard(list_lock_);
    // acquire: what the other readers released goes on from here, by ready() or the stores below.
    const std::uint32_t seen = word_.load(mo::acquire);
    if (!must_pass_on(seen, by_writer)) return false;
    // From here on no other agent changes the word: no reader joins while waiting is set, no writer takes the lock (and
    // clears woken) while this one owns it, and everything else is done under list_lock_.
    const std::uint32_t woken = seen & woken_bit;
    std::uint32_t readers = by_writer ? claim_readers(granted) : 0;
    bool hand_over = false;
    sched::waiter* w = nullptr;
    if (readers == 0 && woken == 0) {
      const std::uint64_t now = sched::platform::ticks();
      while (w == nullptr && !waiting_writers_.empty()) {
        w = waiting_writers_.pop_front();
        const std::uint64_t age = now - static_cast<const lock_waiter*>(w)->since;
        hand_over = age >= sched::platform::ticks_of_ns(starving_after_ns);
        if (!w->claim(hand_over ? handed_over : sched::waiter::signalled)) w = nullptr;
      }
    }
    if (readers == 0 && w == nullptr) readers = claim_readers(granted);
    const std::uint32_t others = who_waits();
    if (readers != 0) {
      // release: pairs with the acquire of later owners, as in the other paths.
      word_.store(readers * one_reader | others | woken, mo::release);
    } else if (w != nullptr && hand_over) {
      word_.store(writer_bit | others, mo::release);
      granted.push_back(*w);
    } else {
      // The caller still owns the lock.
      word_.store((seen & ~(waiting_bit | readers_bit)) | others, mo::relaxed);
      if (w == nullptr) return false;
      competitor = w->who();
    }
  }
  if (competitor != nullptr) {
    // release: pairs with the acquire of the next owner. The last access.
    word_.fetch_add(woken_bit - (by_writer ? writer_bit : one_reader), mo::release);
    sched::ready(competitor);
  }
  while (sched::waiter* const heir = granted.pop_front()) sched::ready(heir->who());
  return true;
}

}  // namespace baton
