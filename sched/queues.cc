// Where runnable fibers wait, and in which order a P takes them.
//
//   runnext      the fiber that this P readied last; it goes first, and inherits the time slice
//   ring         this P's queue, FIFO; thieves take half of it
//   global       overflow, fibers readied by threads without a P, fibers whose slice was used up.
//                While it holds any, yielding and polled fibers queue behind them: otherwise those that fit the ring
//                would go round and round before the others
//   spilled      fibers that have not run yet, off the heads of rings: batches, the newest first (spilled_batches.h)
//   returning    fibers that came back from a syscall and found no P, and fibers that wait for one in place, on their
//                own thread (thread_lock.cc): such a fiber gets the picker's P when its turn comes
//
// The order of a pick:
//   1. every 64th pick: the global queue or a spilled batch first, in turns, so that local work cannot starve them;
//      every 128th such batch is the oldest;
//   2. `returning`, at most every second pick: on a busy machine such a fiber runs again within microseconds, and a
//      flood of them cannot starve the others;
//   3. runnext, then the ring;
//   4. a spilled batch or one from the global queue, in turns;
//   5. `returning` again, only now: a flood of such fibers leaves every second pick to the shared queues, too.
// Every 16th pick takes from the ring before runnext, so that two fibers that ready each other forever do not keep the
// ring waiting for a whole time slice, as they do in Go. It also reads the cycle counter, and at intervals looks at
// timers and the network, so a P that is never idle serves them too.
//
// Stealing takes half of a ring. The order of the victims is random but visits all of them. It takes runnext only on
// the last of four passes, and only if its owner does not run it within some microseconds.
#include <baton/sched/scheduler.h>

#include <algorithm>

namespace baton::sched {

void push_overflowing(processor* p, fiber* f) noexcept {
  while (!p->queue.push(f)) {
    fiber_list batch = p->queue.take_batch();
    if (batch.empty()) continue;  // a thief was faster: there is room now
    batch.push_back(f);
    the_scheduler.global.push_all(static_cast<fiber_list&&>(batch));
    return;
  }
}

void spill(processor* p) noexcept {
  p->spawned = 0;
  const std::uint64_t turn = p->picks();
  if (p->queue.ring_size() < limits::spill_from || p->spilled_in == turn) return;
  const std::uint32_t n = p->queue.fresh_ones_ahead(limits::spill_batch);
  if (n == 0) return;
  fiber_list batch = p->queue.take_batch(n);
  if (batch.empty()) return;
  p->spilled_in = turn;
  the_scheduler.spilled.push(static_cast<fiber_list&&>(batch));
}

void push_local_all(processor* p, fiber_list&& list) noexcept {
  while (!list.empty()) {
    if (goes_global(p)) {
      the_scheduler.global.push_all(static_cast<fiber_list&&>(list));
      return;
    }
    push_local(p, list.pop_front());
  }
}

bool work_waits(const processor* p) noexcept { return !p->queue.empty() || shared_work_waits(); }

namespace {

std::uint64_t next_random(processor* p) noexcept {
  std::uint64_t x = p->random != 0 ? p->random : 0x9E3779B97F4A7C15U * (p->index + 1U);
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return p->random = x;
}

// f's turn has come. If f waits in place, it gets this M's P, and this M continues without one.
fiber* turn_of(machine* m, processor* p, fiber* f) noexcept {
  if (__builtin_expect(f->in_place, 0)) {
    pass_p_on(m, p, f->on);
    return nullptr;
  }
  return f;
}

fiber* take_global_batch(machine* m, processor* p) noexcept {
  scheduler& s = the_scheduler;
  const std::size_t size = s.global.size();
  if (size == 0) return nullptr;
  const auto share = size / static_cast<std::size_t>(std::max(1, s.procs.load(mo::relaxed))) + 1;
  fiber_list batch = s.global.pop_some(std::min<std::size_t>({share, size, run_queue::slots / 2}));
  fiber* const f = batch.pop_front();
  while (fiber* const other = batch.pop_front()) push_local(p, other);
  return f != nullptr ? turn_of(m, p, f) : nullptr;
}

__attribute__((noinline)) fiber* take_spilled(processor* p, bool oldest) noexcept {
  scheduler& s = the_scheduler;
  fiber_list batch = oldest ? s.spilled.pop_oldest() : s.spilled.pop_newest();
  fiber* const f = batch.pop_front();
  while (fiber* const other = batch.pop_front()) push_local(p, other);
  return f;
}

// Returns true if it is the spilled batches' turn: neither they nor the global queue keep the other waiting.
bool spilled_are_next(processor* p) noexcept {
  const scheduler& s = the_scheduler;
  if (__builtin_expect(s.spilled.empty(), 1)) return false;
  p->served_spilled = !p->served_spilled || s.global.empty();
  return p->served_spilled;
}

}  // namespace

void look_around(machine* m, processor* p) noexcept {
  scheduler& s = the_scheduler;
  const std::uint64_t t = platform::ticks();
  p->next_look_ticks = t + platform::ticks_of_ns(limits::poll_gap_busy_ns / 4);
  fiber_list readied;
  static_cast<void>(run_all_due_timers(p, readied));  // those of idle Ps as well: no M may poll until the earliest
  poller* const source = s.source.load(mo::acquire);
  if (!s.polling.load(mo::relaxed) &&
      t - s.last_poll_ticks.load(mo::relaxed) > platform::ticks_of_ns(limits::poll_gap_busy_ns) &&
      !s.someone_polls_now.exchange(true, mo::acquire)) {
    source->poll(0, readied);
    s.polls.fetch_add(1, mo::relaxed);
    s.last_poll_ticks.store(t, mo::relaxed);
    s.someone_polls_now.store(false, mo::release);
    if (trace::on()) trace::polled(m, readied);
  }
  if (!readied.empty()) make_runnable_all(m, static_cast<fiber_list&&>(readied));
}

fiber* pick_slow(machine* m, processor* p) noexcept {
  scheduler& s = the_scheduler;
  if (static_cast<std::int32_t>(p->countdown.load(mo::relaxed)) <= 0) {
    const std::uint64_t slow_picks = p->count_slow_pick();
    if (platform::ticks() >= p->next_look_ticks) look_around(m, p);
    if (slow_picks % limits::shared_every_slow == 0) {
      if (spilled_are_next(p)) {
        if (fiber* const f = take_spilled(p, ++p->batches_first % limits::oldest_batch_every == 0)) return f;
      }
      if (fiber* const f = s.global.pop()) return turn_of(m, p, f);
    }
    // Otherwise a chain of fibers that ready each other would keep the ring waiting for its whole time slice.
    if (fiber* const f = p->queue.pop()) return f;
  }
  if (!p->served_returning) {
    if (fiber* const f = s.returning.pop()) {
      p->served_returning = true;
      return turn_of(m, p, f);
    }
  }
  p->served_returning = false;
  if (fiber* const f = p->queue.take_next()) {
    p->chained.add();
    return f;
  }
  if (fiber* const f = p->queue.pop()) return f;
  if (spilled_are_next(p)) {
    if (fiber* const f = take_spilled(p, false)) return f;
  }
  if (!s.global.empty()) {
    fiber* const f = take_global_batch(m, p);
    if (f != nullptr || m->my_p() == nullptr) return f;
  }
  fiber* const f = s.returning.pop();
  return f != nullptr ? turn_of(m, p, f) : nullptr;
}

void end_chain(machine* m) noexcept {
  m->baton.clear_slice();
  the_scheduler.slices_ended.fetch_add(1, mo::relaxed);
  if (processor* const p = m->my_p()) {
    if (fiber* const next = p->queue.take_next()) the_scheduler.global.push(next);
  }
}

processor* give_way(machine* m) noexcept {
  if (m->baton.slice_is_over()) end_chain(m);
  return m->baton.scatters() ? nullptr : m->my_p();
}

fiber* steal(processor* p) noexcept {
  scheduler& s = the_scheduler;
  const auto n = static_cast<std::uint32_t>(s.procs.load(mo::relaxed));
  if (n < 2) return nullptr;
  for (int pass = 0; pass < 4; ++pass) {
    const auto start = static_cast<std::uint32_t>(next_random(p) % n);
    for (std::uint32_t k = 0; k < n; ++k) {
      processor& victim = s.ps[(start + k) % n];
      if (&victim == p) continue;
      // An idle P may have work: it was put on the list because there was no M for it. An M that wakes then takes the P
      // on top of the list, which need not be that one.
      const bool idle = victim.idle.load(mo::relaxed);
      if (victim.queue.ring_size() > 0) {
        if (fiber* const f = victim.queue.steal_into(p->queue)) {
          p->steals.add();
          if (trace::on()) trace::stolen(f, p, victim);
          return f;
        }
      }
      if (!victim.queue.has_next() || (pass < 3 && !idle)) continue;
      if (!idle) {
        // The owner is most likely about to run it. The fiber is worth dragging to another cache only if the owner
        // picked nothing for some microseconds. Checking more often would drag the cache line of runnext along, too.
        const std::uint64_t picks = victim.picks();
        const std::uint64_t until = platform::ticks() + platform::ticks_of_ns(limits::next_steal_after_ns);
        while (platform::ticks() < until) platform::cpu_relax();
        if (victim.picks() != picks) continue;
      }
      if (fiber* const f = victim.queue.steal_next()) {
        p->steals.add();
        if (trace::on()) trace::stolen(f, p, victim);
        return f;
      }
    }
  }
  return nullptr;
}

void make_runnable_all(machine* m, fiber_list&& list) noexcept {
  if (list.empty()) return;
  processor* const p = m != nullptr ? m->my_p() : nullptr;
  if (p != nullptr) {
    push_local_all(p, static_cast<fiber_list&&>(list));
  } else {
    the_scheduler.global.push_all(static_cast<fiber_list&&>(list));
  }
  wake_for_work();
}

}  // namespace baton::sched
