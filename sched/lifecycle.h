// Starting and shutting down the runtime, and what happens at exit and fork. The runtime is process-wide;
// it starts with the first call that needs it and is never torn down by static destructors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace baton::sched {

struct agent;

// The values are those of baton::deadlock_action (runtime/options.h).
enum class deadlock_response : std::uint8_t { report, abort, exit_2 };

struct settings {
  int procs = 0;  // 0: $BATON_PROCS, else the CPUs that affinity and cgroup quotas allow, also when those change
  int max_threads = 10'000;
  std::int64_t idle_thread_ends_after_ns = 30'000'000'000;
  std::size_t stack_size = 256 * 1024;
  std::int64_t rescue_after_ns = 10'000'000;
  bool rescue = true;
  bool ignore_sigpipe = true;
  deadlock_response on_deadlock = deadlock_response::report;
};

// Starts the runtime; does nothing when it runs already, but s.procs > 0 then sets the number of Ps. After
// exit() it does not start again.
void start(const settings& s) noexcept;
// The same for who has made a run_caller: until that is gone the runtime is not shut down.
void start_for_run(const settings& s) noexcept;
[[nodiscard]] bool is_running() noexcept;
// Ends all threads of the runtime; true: done, or there are none. False: somebody needs it, or the caller
// may not; `why` is then a text of it, and nothing has changed. start() may start it again.
[[nodiscard]] bool shut_down(std::span<char> why) noexcept;
// For a thread outside the runtime, when it has published what only the runtime can serve: if that has
// been shut down meanwhile, starts it. (A fiber has no need of this: while there is one it runs.)
void runtime_needed() noexcept;
// While an agent waits for what only the runtime brings: a ready descriptor. Does nothing for a fiber.
class served_wait {
 public:
  explicit served_wait(const agent* who) noexcept;
  ~served_wait();
  served_wait(const served_wait&) = delete;
  served_wait& operator=(const served_wait&) = delete;

 private:
  bool counted_;
};
// The calling fiber belongs to the runtime, and serves many: while it is parked it does not keep the runtime from being
// shut down, and it has the default floating-point mode, not that of the one for whom it was started.
void mark_daemon() noexcept;
// Whether exit() has stopped the fibers: those that were awake will not go on.
[[nodiscard]] bool is_ending() noexcept;
// Whether the caller is the thread that exits, that is, runs static destructors: a fiber that it waits for never
// comes.
[[nodiscard]] bool exits_here() noexcept;
// The rule of every destructor that waits, and of a close() that a destructor calls. It asks only when there is
// something to wait for. False: the caller exits; it does not wait, and leaves everything as it is, also the memory,
// which others may still use. The first time a line on stderr says so, and `left`, what is left.
[[nodiscard]] bool destructor_may_wait(const char* left) noexcept;
// For the thread that exits: a line on stderr, once, that says so and what it means here.
void say_frozen(const char* what) noexcept;
// The same, of what a destructor leaves as it is; nothing in the child of a fork.
void say_left(const char* what) noexcept;
[[nodiscard]] int procs() noexcept;
// Changes the number of Ps while the runtime runs; returns the former number. Takes effect before it
// returns for growth; a P that must go is taken from its M at that M's next chance.
int set_procs(int n) noexcept;
// The monitor's, with the time of CLOCK_MONOTONIC: if the number of Ps came from the CPUs, and those are
// others now, changes it. Looks at most once a second.
void follow_cpu_count(std::int64_t now_ns) noexcept;
[[nodiscard]] int max_threads() noexcept;
int set_max_threads(int n) noexcept;
// Re-registers the exit handler, so that it runs before static destructors registered until now.
void main_returned() noexcept;
// A line per fiber (id, name, state, why it waits, who spawned it) and, where it waits, its stack. By write_all()
// (log.h): it ends at the first error.
void dump_fibers(int fd) noexcept;
// The same to the log. Waits for who reads it, a second at most in all.
void log_fibers() noexcept;

}  // namespace baton::sched
