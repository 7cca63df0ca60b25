// The protocol of poll descriptors.
//
// Waiting (the holder of a side's lock):
//   1. failure()? then fail.             4. would block: prepare_park; arm the slot (seq_cst)
//   2. clear the slot                    5. load the flags (seq_cst): a failure? withdraw and cancel
//   3. try the call                      6. park; when woken, use up the edge, if it was one; go to 1
// Failing (a deadline, cancellation, close):  set the flag (seq_cst); evict the slot (seq_cst).
// Whatever the order, 5 sees the flag or evict sees the agent. Readiness needs no such pair: the slot
// itself keeps it, and 2 comes before 3.
//
// Deadlines. Each set_deadline draws a sequence number and first arms a timer with it. Then, under the lock, the
// deadline comes into force unless a later number is there already. A timer that fires with another number than the one
// in force is ignored. So a timer that fires between the two steps would be lost; hence the clock is read once more
// under the lock. Timers are cancelled outside the lock, because cancel_timer waits for a running callback, and the
// callback takes the lock.
//
// Flags are changed with the lock held and read without it. The exceptions are `hangup`, and the two cancelled flags,
// whose callers are serialised by the descriptor. Evicting happens after unlock: an evict that comes late finds nil, or
// an agent of a later wait, which then just checks again.
//
// Reuse. A tag holds index and generation; recycle() bumps the generation before the poll descriptor can be obtained
// again. An event that passed find() before that and posts after it is a spurious edge for the next owner: it costs a
// useless try. A spurious hangup costs useless tries. Neither is an error.
#include <baton/netpoll/poll_descriptor.h>

#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/park.h>

#include <new>

namespace baton::net {

namespace {

constexpr std::uint32_t chunk_size = 64;
constexpr std::uint32_t chunks_max =
    1u << 16;  // 4 million descriptors, the kernel's own usual limit (nr_open) is 1 million

}  // namespace

struct poll_slab {
  // An entry is written once, before any tag of that chunk exists.
  sched::platform::atomic<poll_descriptor*> chunks[chunks_max];
  sched::platform::spin_lock lock;
  std::uint32_t chunk_count ABSL_GUARDED_BY(lock) = 0;
  poll_descriptor* free ABSL_GUARDED_BY(lock) = nullptr;

  poll_descriptor* take() noexcept {
    sched::platform::lock_guard hold(lock);
    poll_descriptor* const pd = free;
    if (pd != nullptr) free = pd->next_free_;
    return pd;
  }

  // Returns false if there is no memory.
  bool grow() noexcept {
    auto* const chunk = new (std::nothrow) poll_descriptor[chunk_size];
    if (chunk == nullptr) return false;
    {
      sched::platform::lock_guard hold(lock);
      if (chunk_count < chunks_max) {
        const std::uint32_t number = chunk_count++;
        for (std::uint32_t i = chunk_size; i-- > 0;) {
          chunk[i].index_ = number * chunk_size + i;
          chunk[i].next_free_ = free;
          free = &chunk[i];
        }
        // release: pairs with find()'s acquire.
        chunks[number].store(chunk, mo::release);
        return true;
      }
    }
    delete[] chunk;
    return false;
  }
};

namespace {
// Never destroyed: threads may poll until the process is gone.
constinit poll_slab slab{};
}  // namespace

poll_descriptor* poll_descriptor::obtain() noexcept {
  poll_descriptor* pd = slab.take();
  while (pd == nullptr) {
    if (!slab.grow()) return nullptr;
    pd = slab.take();
  }
  // Apart from spurious edges no thread looks at it yet. relaxed: registration with epoll, and passing the descriptor
  // to its user, publish it.
  pd->flags_.store(0, mo::relaxed);
  pd->read_.mark();
  pd->write_.mark();
  return pd;
}

void poll_descriptor::recycle() noexcept {
  if (read_.has_waiter() || write_.has_waiter()) sched::fatal("a descriptor is freed while an agent waits for it");
  // release: pairs with find(). A thread that sees the new generation drops the event.
  generation_.fetch_add(1, mo::release);
  sched::platform::lock_guard hold(slab.lock);
  next_free_ = slab.free;
  slab.free = this;
}

poll_descriptor* poll_descriptor::find(tag t) noexcept {
  const auto index = static_cast<std::uint32_t>(t);
  if (index / chunk_size >= chunks_max) return nullptr;
  poll_descriptor* const chunk = slab.chunks[index / chunk_size].load(mo::acquire);
  if (chunk == nullptr) return nullptr;
  poll_descriptor* const pd = &chunk[index % chunk_size];
  return pd->generation_.load(mo::acquire) == static_cast<std::uint32_t>(t >> 32) ? pd : nullptr;
}

poll_descriptor::tag poll_descriptor::current_tag() const noexcept {
  return tag{generation_.load(mo::relaxed)} << 32 | index_;
}

poll_failure poll_descriptor::name(std::uint32_t flags) noexcept {
  if ((flags & closing) != 0) return poll_failure::closed;
  if ((flags & (read_cancelled | write_cancelled)) != 0) return poll_failure::cancelled;
  return poll_failure::expired;
}

void poll_descriptor::wait(poll_side side, sched::wait_reason why) noexcept {
  poll_slot& s = slot(side);
  if (s.is_ready()) {  // no need to prepare
    s.clear();
    return;
  }
  sched::agent* const self = sched::current_agent();
  sched::prepare_park(self, why);
  switch (s.arm(self)) {
    case poll_slot::armed::was_ready: sched::cancel_park(self); return;
    case poll_slot::armed::busy: sched::fatal("two agents wait for the same side of a descriptor");
    case poll_slot::armed::waiting: break;
  }
  // seq_cst: the agent's half of the Dekker pair; pairs with raise().
  if ((flags_.load(mo::seq_cst) & failures_of(side)) != 0 && s.withdraw(self)) {
    sched::cancel_park(self);
    return;
  }
  {
    const sched::served_wait waits(self);
    sched::park(self);
  }
  s.clear();
}

void poll_descriptor::raise(std::uint32_t bit) noexcept {
  // seq_cst: the other half; pairs with the load in wait().
  flags_.fetch_or(bit, mo::seq_cst);
}

void poll_descriptor::evict(poll_side side) noexcept {
  if (sched::agent* const who = slot(side).evict()) sched::ready(who);
}

std::uint64_t poll_descriptor::next_seq() noexcept {
  sched::platform::lock_guard hold(lock_);
  return ++last_seq_;
}

poll_descriptor::deadline poll_descriptor::armed(poll_side side, std::int64_t deadline_ns, std::uint64_t seq) {
  deadline d{seq, deadline_ns, {}};
  if (deadline_ns != sched::platform::forever_ns && deadline_ns > sched::platform::now_ns()) {
    d.timer = sched::arm_timer(deadline_ns, side == poll_side::read ? on_read_deadline : on_write_deadline, this, seq);
  }
  return d;
}

void poll_descriptor::enforce(poll_side side, const deadline& fresh) noexcept {
  sched::timer_handle stale = fresh.timer;  // unless it comes into force
  bool expired = false;
  {
    sched::platform::lock_guard hold(lock_);
    deadline& d = deadline_of(side);
    if (fresh.seq > d.seq && (flags_.load(mo::relaxed) & closing) == 0) {
      stale = d.timer;
      d = fresh;
      expired = fresh.when_ns != sched::platform::forever_ns && fresh.when_ns <= sched::platform::now_ns();
      if (expired) {
        raise(expired_flag(side));
      } else {
        // relaxed: an agent that sees the old flag a little longer fails as if it had come a little earlier.
        flags_.fetch_and(~expired_flag(side), mo::relaxed);
      }
    }
  }
  if (expired) evict(side);
  if (stale) sched::cancel_timer(stale);
}

void poll_descriptor::set_deadline(poll_side side, std::int64_t deadline_ns) {
  enforce(side, armed(side, deadline_ns, next_seq()));
}

// One number for both: if two such calls run at once, one is the later on both sides.
void poll_descriptor::set_deadlines(std::int64_t deadline_ns) {
  const std::uint64_t seq = next_seq();
  const deadline read = armed(poll_side::read, deadline_ns, seq);
  deadline write;
  try {
    write = armed(poll_side::write, deadline_ns, seq);
  } catch (...) {
    if (read.timer) sched::cancel_timer(read.timer);
    throw;
  }
  enforce(poll_side::read, read);
  enforce(poll_side::write, write);
}

void poll_descriptor::on_read_deadline(void* self, std::uint64_t seq, sched::fiber_list& readied) noexcept {
  static_cast<poll_descriptor*>(self)->expire(poll_side::read, seq, readied);
}

void poll_descriptor::on_write_deadline(void* self, std::uint64_t seq, sched::fiber_list& readied) noexcept {
  static_cast<poll_descriptor*>(self)->expire(poll_side::write, seq, readied);
}

void poll_descriptor::expire(poll_side side, std::uint64_t seq, sched::fiber_list& readied) noexcept {
  {
    sched::platform::lock_guard hold(lock_);
    if (deadline_of(side).seq != seq || (flags_.load(mo::relaxed) & closing) != 0) return;
    raise(expired_flag(side));
  }
  if (sched::agent* const who = slot(side).evict()) sched::ready_into(who, readied);
}

void poll_descriptor::close_begin() noexcept {
  sched::timer_handle timers[2];
  {
    sched::platform::lock_guard hold(lock_);
    raise(closing);
    timers[0] = read_deadline_.timer;
    timers[1] = write_deadline_.timer;
    read_deadline_ = write_deadline_ = {++last_seq_, sched::platform::forever_ns, {}};
  }
  evict(poll_side::read);
  evict(poll_side::write);
  for (const sched::timer_handle& t : timers) {
    if (t) sched::cancel_timer(t);
  }
}

void poll_descriptor::set_cancelled(poll_side side, bool cancelled) noexcept {
  if (!cancelled) {
    flags_.fetch_and(~cancelled_flag(side), mo::relaxed);  // as for an expired flag
    return;
  }
  raise(cancelled_flag(side));
  evict(side);
}

void poll_descriptor::post(bool readable, bool writable, bool hung_up_now, sched::fiber_list& readied) noexcept {
  if (hung_up_now && (flags_.load(mo::relaxed) & hangup) == 0) {
    // release, before the slot: an agent that uses up this edge sees the flag.
    flags_.fetch_or(hangup, mo::release);
  }
  if (readable) {
    if (sched::agent* const who = read_.post()) sched::ready_into(who, readied);
  }
  if (writable) {
    if (sched::agent* const who = write_.post()) sched::ready_into(who, readied);
  }
}

}  // namespace baton::net
