// The thread that writes what is recorded to a file. See collector.cc.
#pragma once

#include <cstddef>
#include <cstdint>

namespace baton::sched::trace {

// Begins to record, into a file that is open for writing, and whose content goes. The descriptor belongs to the
// collector. Returns 0 or an errno value: EBUSY if a recording is under way, ENOMEM, EAGAIN if there is no thread.
// Requires: the runtime runs; the caller is outside a section. Blocks for a moment.
[[nodiscard]] int collect_to(int fd, std::size_t events_each) noexcept;
// How many events each thread's ring holds, by default.
inline constexpr std::size_t events_each_default = std::size_t{1} << 15;

// Opens a file for collect_to(). Its content stays. Returns a descriptor above 2, or the negative of an errno value.
[[nodiscard]] int open_trace(const char* path) noexcept;
// Called once, when the runtime has started: records to $BATON_TRACE until exit(), if it is set.
void collect_until_exit() noexcept;

struct collected {
  bool was_on = false;
  int error = 0;  // of the first write that failed
  std::uint64_t events = 0;
  std::uint64_t lost = 0;
};
// Ends it. When it returns, the file is complete and closed.
collected end_collecting() noexcept;

// Returns how many threads are the collector's, for the look for deadlocks.
[[nodiscard]] int collector_threads() noexcept;

// Returns the number that events name this text by. 0 if there is no recording, or no room for more texts.
[[nodiscard]] std::uint32_t number_of_text(const char* text, std::size_t length) noexcept;

}  // namespace baton::sched::trace
