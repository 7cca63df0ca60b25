// The trace points of the scheduler. See trace.cc.
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/sched/trace/event.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {
struct machine;
struct processor;
struct fiber;
class fiber_list;
class call_site;
}  // namespace baton::sched

namespace baton::sched::trace {

class ring;

// Written by start() and stop().
extern platform::atomic<bool> is_on;

// Returns true if events are recorded. For trace points off the hot paths: one load and one branch. The trace points on
// the hot paths are reached by the notice baton_word::traced.
[[nodiscard]] inline bool on() noexcept {
  return __builtin_expect(is_on.load(platform::mo::relaxed), 0);  // a hint; start() waits until all have seen it
}

// What a trace point says. The stamp is taken by record().
struct point {
  kind what;
  std::uint8_t detail = 0;
  std::uint64_t subject = 0;
  std::uint64_t object = 0;
  std::uint32_t extra = 0;
};

// Records an event of M m, which is the calling thread's. The P is the one that the M holds.
void record(const machine* m, const point& e) noexcept;
// The same, about P p.
void record(const machine* m, const point& e, const processor* p) noexcept;
// Records an event of the calling thread, of whatever kind it is. p may be null.
void record_here(const point& e, const processor* p) noexcept;
// Records an event of the monitor's. p may be null.
void record_by_monitor(const point& e, const processor* p) noexcept;

// ---- events that several places record ----
void park(const machine* m, const fiber* f) noexcept;
void run(const machine* m, const fiber* f) noexcept;
void ready(const machine* m, const fiber* f, woke how) noexcept;
void spawn(const machine* m, const fiber* f) noexcept;
void name(const fiber* f) noexcept;
void polled(const machine* m, const fiber_list& readied) noexcept;  // nothing if it is empty
void stolen(const fiber* f, const processor* by, const processor& from) noexcept;
void call_begins(const machine* m, entry how) noexcept;
void call_ends(const machine* m, const call_site* site, bool lost) noexcept;
// A fiber whose call has ended queues for a P.
void queue_return(const machine* m, const fiber* f) noexcept;

// ---- on and off ----
// The threads that record, and what they have recorded. The numbers of the Ms' rings are the Ms' indices.
inline constexpr std::uint32_t ring_of_monitor = 0xFFFF'FFFE;
inline constexpr std::uint32_t ring_of_others = 0xFFFF'FFFF;  // plain threads, one at a time

// Begins to record. events_each: the size of each thread's ring, a power of two. The first call decides: rings are
// never freed, because a thread may be late to see that recording has ended. Returns false if there is no memory, or
// if recording is on. Waits until each M has seen it. Requires: the runtime runs; the caller is outside a section.
[[nodiscard]] bool start(std::size_t events_each) noexcept;
// Ends it. Events may still come for a moment.
void stop() noexcept;
// Calls visit(number, ring, arg) for each ring.
void for_each_ring(void (*visit)(std::uint32_t number, const ring& r, void* arg), void* arg) noexcept;

// ---- for machine.cc and lifecycle.cc ----
// M m begins: from here on it records, if recording is on. Requires: m's own thread, no P.
void begin_machine(machine* m) noexcept;
void in_fork_child() noexcept;

}  // namespace baton::sched::trace
