// What a trace consists of. An event has 32 bytes; the names of fibers and of regions are spread over several events.
//
// The time stamp of an event that gives something away (a P, a fiber that is readied) is taken before the other side
// can see it. The stamp of an event that gets something is taken after that. So the order of the stamps of two threads
// is the order of what happened, if the cycle counters of the CPUs agree (trace.cc).
#pragma once

#include <cstdint>

namespace baton::sched::trace {

// The comments say what the fields of an event hold: s is subject, o object, d detail, x extra. The P is the one that
// the thread holds, if nothing else is said. G is the id of a fiber.
enum class kind : std::uint8_t {
  nothing,

  // ---- gives: the stamp is taken before ----
  spawn,         // s: G of the new fiber; o: what it runs (fiber_start); x: G of the fiber that spawned it, low half
  name,          // s: G; d: which part; then 12 bytes of its name (o, x)
  park,          // s: G; d: wait_reason; o: the lock that it waits for, or 0
  unpark,        // s: G; it was readied before it had left its stack, and nothing else queues it; d: 1: in place
  ready,         // s: G of the fiber that is readied; o: G of the fiber that readies it, 0: none; d: woke
  yield,         // s: G; d: 1: its slice was over
  end,           // s: G
  call_begin,    // s: G; o: the site; d: entry
  queue_return,  // s: G; its call has ended, and it waits for a P; d: 1: in place
  p_left,        // the M gives its P up; d: left
  p_handed,      // a P is handed to a waiting M; s: the M's index
  p_revoked,     // the monitor has taken the P from an M; s: the M's index; o: G; d: revoked
  slice_told,    // the monitor tells an M that its fiber's slice is over; s: the M's index; o: G
  sleep,         // the M goes to sleep; d: 1: in the poller
  thread_end,    // s: the thread's id
  timers,        // x: how many timers have fired
  poll,          // x: how many fibers the poller has readied; d: 1: the thread slept in it
  region_begin,  // s: G; x: the number of the name
  region_end,    // s: G
  instant,       // s: G; x: the number of the name
  begun,         // from here on all Ms record; what comes before is incomplete
  ended,         // up to here all Ms have recorded; what comes behind is incomplete

  // ---- gets: the stamp is taken after ----
  run,           // s: G of the fiber that goes on here; d: 1: for the first time; 2: in place
  call_end,      // s: G; o: the site; d: 1: its P was gone
  p_taken,       // the M has got this P
  p_lost,        // the M finds out that its P was revoked
  steal,         // s: G of the first fiber; o: the index of the P that had it
  wake,          // the M is awake again; d: 1: it slept in the poller
  thread_start,  // s: the thread's id
};
inline constexpr kind first_that_gets = kind::run;

enum class left : std::uint8_t { idle, predicted, unknown, hinted, in_place, overdue, retired, scattered, locked_end };
enum class revoked : std::uint8_t { retaken, blocked, computing, retired };
enum class entry : std::uint8_t { kept, predicted, unknown, hinted };  // kept: the fiber keeps its P
// early: the fiber had not left its stack. It finds out itself, or `unpark` follows.
enum class woke : std::uint8_t { parked, early };

inline constexpr std::uint16_t no_p = 0xFFFF;

struct event {
  std::uint64_t ticks = 0;
  std::uint64_t subject = 0;
  std::uint64_t object = 0;
  std::uint32_t extra = 0;
  kind what = kind::nothing;
  std::uint8_t detail = 0;
  std::uint16_t p = no_p;
};
static_assert(sizeof(event) == 32);

}  // namespace baton::sched::trace
