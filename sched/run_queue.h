// The run queue of a P: a ring that the owner fills at the tail and all threads empty at the head, and `runnext`, the
// fiber that goes first because it was readied last and its data are warm.
//
// Who does what:
//   push       the owner: load head (acquire), write the slot, store tail (release)
//   pop        the owner: read the slot, compare-and-swap head (release)
//   steal      a thief, which owns the destination queue: load head, tail; copy half of the slots; compare-and-swap
//              head; publish its own tail
// A slot may be overwritten while a slow thief reads it, so slots are relaxed atomics. The thief's compare-and-swap of
// head then fails, because the owner reuses a slot only after head has moved. Head and tail are 32 bits wide and wrap.
// To be fooled, a thief would have to sleep through 2^32 pops between its load and its compare-and-swap. A thief reads
// again if more than the ring's size seems to be there (a torn pair).
// Fibers are type-stable, so a stale pointer that is copied and dropped is harmless.
#pragma once

#include <baton/sched/fiber.h>
#include <baton/sched/fiber_list.h>
#include <baton/sched/limits.h>
#include <baton/sched/platform/atomic.h>

#include <algorithm>

namespace baton::sched {

namespace mo = platform::mo;

class run_queue {
 public:
  static constexpr std::uint32_t slots = limits::run_queue_slots;

  // ---- the owner ----

  // Returns false if the ring is full.
  [[nodiscard]] bool push(fiber* f) noexcept {
    const std::uint32_t tail = tail_.load(mo::relaxed);
    const std::uint32_t head = head_.load(mo::acquire);  // pairs with the consumers' release of head
    if (tail - head >= slots) return false;
    ring_[tail % slots].store(f, mo::relaxed);
    tail_.store(tail + 1, mo::release);  // pairs with the thieves' acquire: slot before tail
    return true;
  }

  // Takes a batch off the ring, in order, for the global queue. May return nothing if a thief was faster; then there is
  // room.
  [[nodiscard]] fiber_list take_batch(std::uint32_t most = limits::run_queue_batch) noexcept {
    fiber_list out;
    std::uint32_t head = head_.load(mo::acquire);
    const std::uint32_t n = std::min((tail_.load(mo::relaxed) - head) / 2, most);
    fiber* batch[limits::run_queue_batch];
    for (std::uint32_t i = 0; i < n; ++i) batch[i] = ring_[(head + i) % slots].load(mo::relaxed);
    if (n == 0 || !head_.compare_exchange_strong(head, head + n, mo::acq_rel, mo::relaxed)) return out;
    for (std::uint32_t i = 0; i < n; ++i) out.push_back(batch[i]);
    return out;
  }

  // Returns how many of the first `most` in a row have not run yet. It looks even at fibers that a thief takes
  // meanwhile: fibers are type-stable.
  [[nodiscard]] std::uint32_t fresh_ones_ahead(std::uint32_t most) const noexcept {
    const std::uint32_t head = head_.load(mo::acquire);
    std::uint32_t n = 0;
    while (n < most && head + n != tail_.load(mo::relaxed) &&
           ring_[(head + n) % slots].load(mo::relaxed)->fresh.load(mo::relaxed)) {
      ++n;
    }
    return n;
  }

  // Takes from the ring only. Returns null if it is empty.
  [[nodiscard]] fiber* pop() noexcept {
    std::uint32_t head = head_.load(mo::acquire);  // pairs with the thieves' release of head
    for (;;) {
      if (tail_.load(mo::relaxed) == head) return nullptr;
      fiber* const f = ring_[head % slots].load(mo::relaxed);
      if (head_.compare_exchange_weak(head, head + 1, mo::acq_rel, mo::acquire)) {
        fetch_ahead(head);
        return f;
      }
    }
  }

  // Puts f first. Returns the fiber that was there, or null.
  [[nodiscard]] fiber* exchange_next(fiber* f) noexcept {
    // Other threads only ever take it away: what the owner has seen empty stays empty until the owner fills it.
    if (next_.load(mo::relaxed) == nullptr) {
      next_.store(f, mo::release);  // pairs with take_next() of a thief
      return nullptr;
    }
    return next_.exchange(f, mo::acq_rel);
  }
  [[nodiscard]] fiber* take_next() noexcept {
    if (next_.load(mo::relaxed) == nullptr) return nullptr;
    return next_.exchange(nullptr, mo::acq_rel);  // acq_rel: a thief may take it as well
  }

  // ---- any thread ----

  [[nodiscard]] std::uint32_t ring_size() const noexcept {
    const std::uint32_t n = tail_.load(mo::acquire) - head_.load(mo::acquire);
    return n <= slots ? n : 0;
  }
  [[nodiscard]] bool has_next() const noexcept { return next_.load(mo::relaxed) != nullptr; }
  // Returns true only if the queue was empty at one moment: reading tail again catches a fiber that moves from runnext
  // to the ring between the two looks.
  [[nodiscard]] bool empty() const noexcept {
    for (;;) {
      const std::uint32_t head = head_.load(mo::acquire);
      const std::uint32_t tail = tail_.load(mo::acquire);
      const fiber* const next = next_.load(mo::acquire);
      if (tail == tail_.load(mo::acquire)) return head == tail && next == nullptr;
    }
  }

  // Moves half of this ring to `mine`, which the caller owns and which has room for half a ring. Returns one of the
  // fibers, for the caller to run, or null if there was none.
  [[nodiscard]] fiber* steal_into(run_queue& mine) noexcept {
    const std::uint32_t my_tail = mine.tail_.load(mo::relaxed);
    for (;;) {
      std::uint32_t head = head_.load(mo::acquire);
      const std::uint32_t tail = tail_.load(mo::acquire);  // pairs with push(): slots before tail
      const std::uint32_t there = tail - head;
      const std::uint32_t n = there - there / 2;
      if (there == 0) return nullptr;
      if (n > slots / 2) continue;  // head and tail are from different moments
      for (std::uint32_t i = 0; i < n; ++i) {
        mine.ring_[(my_tail + i) % slots].store(ring_[(head + i) % slots].load(mo::relaxed), mo::relaxed);
      }
      if (!head_.compare_exchange_strong(head, head + n, mo::acq_rel, mo::relaxed)) continue;
      fiber* const first = mine.ring_[(my_tail + n - 1) % slots].load(mo::relaxed);
      if (n > 1) mine.tail_.store(my_tail + n - 1, mo::release);
      return first;
    }
  }
  [[nodiscard]] fiber* steal_next() noexcept { return take_next(); }

 private:
  // Where many fibers wait, the next ones have left the caches. So the fiber's own line is fetched first, and some
  // turns later the place on its stack where the fiber was left. A thief may have taken them. That does no harm: a
  // fiber stays a fiber, and any address may be prefetched.
  __attribute__((no_sanitize("thread"))) void fetch_ahead(std::uint32_t head) const noexcept {
    constexpr std::uint32_t line_ahead = 5;
    constexpr std::uint32_t stack_ahead = 2;
    if (tail_.load(mo::relaxed) - head <= line_ahead) return;
    const fiber* const later = ring_[(head + line_ahead) % slots].load(mo::relaxed);
    const fiber* const soon = ring_[(head + stack_ahead) % slots].load(mo::relaxed);
    __builtin_prefetch(&later->context);
    __builtin_prefetch(soon->context);
  }

  alignas(64) platform::atomic<std::uint32_t> head_{0};
  alignas(64) platform::atomic<std::uint32_t> tail_{0};
  // On a line of its own: thieves read tail all the time, and the owner of a ping-pong writes next_ all the time.
  alignas(64) platform::atomic<fiber*> next_{nullptr};
  platform::atomic<fiber*> ring_[slots] = {};
};

}  // namespace baton::sched
