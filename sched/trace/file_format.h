// The file of a trace as it is recorded (*.btrace). All numbers are in the byte order of the machine.
//
//   file_head, then chunks: chunk_head, then `bytes` bytes.
//     events       events_head, then the events of one ring, in their order. Chunks of one ring follow in order
//     thread       thread_note: which thread an M's ring belongs to. It counts for the events of that ring that follow
//     site, code   a key (8 bytes), then the name of the call site, or of what a fiber runs
//     text         a number (8 bytes), then the name of a region or an instant
//     clock        clock_note
//     end          nothing: the recording was ended in order
#pragma once

#include <cstdint>

namespace baton::sched::trace {

struct file_head {
  char magic[8] = {'b', 'a', 't', 'o', 'n', 't', 'r', 'c'};
  std::uint32_t version = 1;
  std::uint32_t byte_order = 0x0102'0304;
  std::uint64_t pid = 0;
};

enum class chunk : std::uint32_t { events = 1, thread, site, code, text, clock, end };

struct chunk_head {
  chunk what;
  std::uint32_t bytes = 0;
};

struct events_head {
  std::uint32_t ring = 0;  // an M's index, ring_of_monitor or ring_of_others
  std::uint32_t count = 0;
  std::uint64_t lost = 0;  // events between those of the last chunk and these that were not read in time
};

struct thread_note {
  std::uint32_t ring = 0;
  std::int32_t tid = 0;
};

// The cycle counter and the clocks at one moment.
struct clock_note {
  std::uint64_t ticks = 0;
  std::int64_t monotonic_ns = 0;
  std::int64_t realtime_ns = 0;
};

}  // namespace baton::sched::trace
