// What every select shares, whatever its cases are: the choice, without types, among entries that name a channel, a
// context or a time. select() and selector fill in the entries, lend the memory, and run the chosen case.
#pragma once

#include <baton/runtime/detail/channel_core.h>
#include <baton/sched/platform/clock.h>

#include <cstddef>
#include <cstdint>

namespace baton {

class context;

namespace detail {

// A case as the protocol sees it.
struct select_entry {
  enum class kind : std::uint8_t { disabled, timeout, deadline, otherwise, done, send, receive };

  kind what = kind::disabled;
  union {
    std::int64_t ns = 0;    // timeout: from the start of the wait. deadline: CLOCK_MONOTONIC
    const context* ctx;     // done
    channel_core* channel;  // send, receive
  };
  // receive: an empty std::optional<T>. send: the value, or, if there is a `make`, what that makes the value from.
  // `make` is called without locks, and may throw and switch. deadline: a select_clock, or null.
  void* element = nullptr;
  void* (*make)(void* of) = nullptr;
};

// What the element of a deadline entry points to if its clock may be slower than CLOCK_MONOTONIC, or may be set back.
// later() is called when the time is over. It returns the new time, or 0 if that clock has come to the deadline, too.
struct select_clock {
  std::int64_t (*later)(const select_clock& of);
};

// Memory for what an entry needs while the select waits. select_core.cc defines its content.
struct select_link {
  static constexpr std::size_t size = 72;
  alignas(alignof(void*)) std::byte bytes[size];
};

// What run_select() works on; arrays of `count` each. Only the entries have to be filled in.
struct select_frame {
  static constexpr std::size_t none = ~std::size_t{0};

  select_entry* entries;
  select_link* links;
  channel_core** locks;
  std::uint32_t* order;
  std::size_t count;
  std::int64_t deadline_ns = sched::platform::forever_ns;  // for the whole select, beside its cases
  // When the select began, or 0 if that is not known yet. Timeouts count from there, also if the select is tried again
  // because a clock is slow. Written by run_select().
  mutable std::int64_t began_ns = 0;
};

struct select_result {
  std::size_t index;  // none: the deadline of the frame has passed
  bool ok;            // send: it was sent. receive: there is an element
};

// Switches. Chooses one entry and does its transfer. Throws what a make() throws; then nothing was chosen. Afterwards
// no other thread knows the frame.
[[nodiscard]] select_result run_select(const select_frame& frame);

// Returns a number below n. All have the same probability.
[[nodiscard]] std::size_t draw(std::size_t n) noexcept;

}  // namespace detail
}  // namespace baton
