// The ring of one thread's events. The thread overwrites the oldest event and never waits. A reader copies what is
// there, and counts what was overwritten before it came.
//
// Protocol. `begun` is the number of events whose writing has begun, `done` the number of those that are complete.
//
//   writer                                reader
//     1. begun := n + 1                     1. done (acquire): events below it are complete
//     2. the four words of slot n           2. the four words of each slot (acquire)
//        (release, each)                    3. begun: an event n is good if n + size > begun - 1
//     3. done := n + 1 (release)
//
// Why no good event is torn. Suppose the reader has read a word of a later event m = n + size (or one more round) from
// n's slot. The writer stored that word with release after begun := m + 1. The reader loaded it with acquire, and loads
// begun afterwards: it reads at least m + 1, so n + size > begun - 1 is false.
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/sched/trace/event.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace baton::sched::trace {

namespace mo = platform::mo;

class ring {
 public:
  static constexpr std::size_t words = sizeof(event) / sizeof(std::uint64_t);
  using slot = platform::atomic<std::uint64_t>[words];

  // size: a power of two. The slots belong to the caller.
  ring(slot* slots, std::size_t size) noexcept : slots_(slots), mask_(size - 1) {}
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  // Requires: one thread at a time.
  void put(const event& e) noexcept {
    const std::uint64_t n = done_.load(mo::relaxed);
    begun_.store(n + 1, mo::relaxed);  // the release below keeps it before the words
    slot& to = slots_[n & mask_];
    std::uint64_t raw[words];
    std::memcpy(raw, &e, sizeof raw);
    for (std::size_t i = 0; i < words; ++i) to[i].store(raw[i], mo::release);  // pairs with read()
    done_.store(n + 1, mo::release);                                           // pairs with read()
  }

  // Returns how many events there have been.
  [[nodiscard]] std::uint64_t count() const noexcept { return done_.load(mo::acquire); }
  [[nodiscard]] std::size_t size() const noexcept { return mask_ + 1; }

  // Copies the events from number *from on, at most `most`. Moves *from behind them, and adds to *lost those that were
  // overwritten. Returns how many it has copied. Requires: one reader for each *from.
  std::size_t read(std::uint64_t* from, event* to, std::size_t most, std::uint64_t* lost) const noexcept {
    const std::uint64_t complete = done_.load(mo::acquire);
    std::uint64_t first = *from;
    if (complete - first > size()) first = complete - size();
    const auto n = static_cast<std::size_t>(complete - first < most ? complete - first : most);
    for (std::size_t k = 0; k < n; ++k) {
      const slot& s = slots_[(first + k) & mask_];
      std::uint64_t raw[words];
      for (std::size_t i = 0; i < words; ++i) raw[i] = s[i].load(mo::acquire);  // pairs with put()
      to[k] = std::bit_cast<event>(raw);
    }
    const std::uint64_t begun = begun_.load(mo::relaxed);  // not before the loads above
    // The slot of event begun - 1 may be half written: the event that it had is no good.
    const std::uint64_t oldest_good = begun > size() ? begun - size() : 0;
    const std::size_t torn = oldest_good > first ? static_cast<std::size_t>(oldest_good - first) : 0;
    const std::size_t bad = torn < n ? torn : n;
    if (bad > 0) std::memmove(static_cast<void*>(to), to + bad, (n - bad) * sizeof(event));
    *lost += first + bad - *from;
    *from = first + n;
    return n - bad;
  }

 private:
  slot* const slots_;
  const std::size_t mask_;
  alignas(64) platform::atomic<std::uint64_t> begun_{0};
  platform::atomic<std::uint64_t> done_{0};
};

}  // namespace baton::sched::trace
