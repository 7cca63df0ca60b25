// Every maximum of the scheduler, in one place, with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

namespace baton::sched::limits {

// The number of Ps. Their array has this size from the start, so that no pointer to a P ever dangles. A machine with
// more CPUs than this runs several processes.
inline constexpr int procs_max = 256;

// The number of Ms, as in Go: far beyond what a healthy program uses, and low enough to stop a runaway program before
// the kernel does. options.max_threads may lower it; the table of Ms has this size plus some room.
inline constexpr int threads_max = 10'000;

// Slots of a P's run queue (a power of two). Go and Tokio have 256. With 256 slots, most of 1,000 fibers that yield on
// two Ps would pass through the global queue's lock at every turn: 128 ns a switch against 22.
inline constexpr std::uint32_t run_queue_slots = 2048;

// Fibers that an overflowing run queue gives to the global queue at a time. Their array lies on a fiber's stack.
inline constexpr std::uint32_t run_queue_batch = 128;

// A run queue with at least this many fibers gives away fibers at its head that have not run yet. They go to the shared
// batches (spilled_batches.h), one batch at most. The queue is checked once per batch's worth of spawns, and spills at
// most once a turn. This is enough for thieves. It is also so few that their data, and those of the fibers that spawned
// them, stay in the caches and the TLB: with 256 and 128 skynet takes twice as long.
inline constexpr std::uint32_t spill_from = 64;
inline constexpr std::uint32_t spill_batch = 32;

// One pick in this many is a slow one, which reads the cycle counter (about 9 ns) and looks around.
inline constexpr std::uint32_t clock_every = 16;

// On one slow pick in this many the global queue or a spilled batch goes first, so that local work that breeds more
// local work cannot starve them: every 64th pick (Go: every 61st).
inline constexpr std::uint32_t shared_every_slow = 4;

// Of the batches that go first, one in this many is the oldest, so that newer batches cannot starve it: a batch in
// 8,192 picks, one fiber in 256.
inline constexpr std::uint32_t oldest_batch_every = 128;

// Bytes of a fiber's name that are kept, with the terminating NUL: what fits its slab entry.
inline constexpr std::size_t fiber_name_max = 24;

// Free fibers, and free stacks of each class, that a P keeps for itself. Beyond that, half of them go back. A P keeps
// no stacks that are larger than the third number: a few of them would be much memory, and a program that uses one does
// not notice what a way to the depot costs.
inline constexpr std::size_t fiber_cache = 256;
inline constexpr std::size_t stack_cache = 64;
inline constexpr std::size_t stack_cache_bytes_each = std::size_t{256} * 1024;
inline constexpr std::size_t stack_batch = 32;

// The initial stack pointers are spread over this many cache lines of the top page. With all of them at the same
// offset, a thousand stacks would compete for the same few sets of the cache.
inline constexpr std::uint32_t stack_colours = 32;

// A fiber, or a chain of fibers that hand on through runnext, runs this long while others wait.
inline constexpr std::int64_t time_slice_ns = 10'000'000;
// A fiber that makes this many calls after it was told that its slice is over, none of which may switch, gives its P up
// at the next call. With fewer calls it may be a thread whose CPU the host took away on its way through a call that
// switches.
inline constexpr std::uint64_t overdue_calls = 3;

// A busy P looks at the network when no thread has done so for this long. The monitor does when not even that happens.
inline constexpr std::int64_t poll_gap_busy_ns = 250'000;
inline constexpr std::int64_t poll_gap_monitor_ns = 1'000'000;

// The monitor runs a timer that is this late on a busy P.
inline constexpr std::int64_t timer_overdue_ns = 1'000'000;

// The sleeper in the poller also runs the timers of busy Ps, this long after they were due: a P that picks fibers looks
// at them more often. After a wake for nothing it waits for the second value: 2,500 such wakes a second at most.
inline constexpr std::int64_t busy_timer_slack_ns = 150'000;
inline constexpr std::int64_t busy_timer_slack_max_ns = 400'000;

// Due timers that one look runs (timer.cc). This is the number less what is queued, but at least a pick's worth for
// each pick between two looks. What they ready then waits for a millisecond or two.
inline constexpr int due_timers_at_once = 512;
inline constexpr int due_timers_at_least = clock_every;

// A declared call keeps its P for at least this long; when other threads serve the work anyway, for the second value.
inline constexpr std::int64_t retake_after_ns = 20'000;
inline constexpr std::int64_t retake_at_the_latest_ns = 10'000'000;

// Rescues (rescue.cc): this many at once, then one per period.
inline constexpr int rescues_at_once = 64;
inline constexpr std::int64_t rescue_every_ns = 1'000'000;
// Fibers that compute beside those that have a P: as many as there are Ps, and this many more soon. Beyond that the
// first fiber waits this much longer, the second half as much longer again, and so on. What they spin for may need a P,
// so there is no number at which they are left alone; but a program that computes all the time gets few threads more.
inline constexpr int hogs_beside = 8;
inline constexpr std::int64_t hog_beyond_waits_ns = 200'000'000;
// How often a line on stderr names them, when there are more than the soon ones.
inline constexpr std::int64_t crowd_report_every_ns = 60'000'000'000;

// Of the Ms whose fibers went to sleep without their P, this many are looked at again in one sweep of the monitor.
inline constexpr int sleepers_a_look = 8;

// How late a sweep of the monitor may be and still count in full. From the second value on, nothing before the sweep
// counts: the process was stopped, or throttled.
inline constexpr std::int64_t look_late_ns = 5'000'000;
inline constexpr std::int64_t look_lost_ns = 20'000'000;

// The monitor's pace (see monitor.cc), and how many fast sweeps it has per second.
inline constexpr std::int64_t monitor_fast_ns = 20'000;
inline constexpr std::int64_t monitor_work_waits_ns = 1'000'000;
inline constexpr std::int64_t monitor_busy_ns = 5'000'000;
inline constexpr int monitor_fast_looks_per_s = 100;
inline constexpr int monitor_refunds_per_s = 300;

// How long all Ps must have been idle before the monitor asks whether any thread can still wake a fiber. As long as
// this cannot be told, the next check is twice as far away, but not farther than the second number: a caller that waits
// for the report should not have to guess whether it comes.
inline constexpr std::int64_t deadlock_look_after_ns = 100'000'000;
inline constexpr std::int64_t deadlock_looks_apart_ns = 5'000'000'000;

// An M that finds nothing looks around this long before it sleeps.
inline constexpr std::int64_t spin_ns = 10'000;
inline constexpr int spin_pauses_max = 16;

// A fiber in runnext is left to its P as long as that P picks something at least this often.
inline constexpr std::int64_t next_steal_after_ns = 3'000;

// A fiber in place, and the M that gave it its P, look this long for the next P before they sleep. Two that take turns
// across threads then need no system call. It is about what a futex wake takes.
inline constexpr std::int64_t spin_for_hand_ns = 5'000;
// After spins_tried failed spins, the next spins_left_out spins are left out.
inline constexpr int spins_tried = 8;
inline constexpr int spins_left_out = 128;

// A fiber that waits for a P at the end of a foreign call looks this often whether exit() has been called.
inline constexpr std::int64_t look_for_exit_ns = 20'000'000;

// Ms that are started with the runtime: one for each P and one to poll, but not for a hundred Ps.
inline constexpr int threads_first = 4;

// The most spare Ms where many block, and how many Ms the monitor starts before its next sweep.
inline constexpr int threads_spare_max = 64;
inline constexpr int threads_started_at_once = 16;

// More Ms in scatter mode, so that a fiber that waits several times seldom comes back to the thread that it began on.
inline constexpr int scatter_threads = 3;

// Ms that have been idle for long end (option idle_threads_end_after), until procs and this many more remain.
inline constexpr int idle_threads_spare = 2;

}  // namespace baton::sched::limits
