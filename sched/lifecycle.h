// Starts and shuts down the runtime, and handles exit and fork. There is one runtime in each process. The first call
// that needs it starts it. Static destructors never tear it down.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace baton::sched {

struct agent;

// The values are those of baton::deadlock_action (runtime/options.h).
enum class deadlock_response : std::uint8_t { report, abort, exit_2 };

struct settings {
  int procs = 0;  // 0: $BATON_PROCS, else the CPUs that affinity and cgroup quotas allow, also when these change
  int max_threads = 10'000;
  std::int64_t idle_thread_ends_after_ns = 30'000'000'000;
  std::size_t stack_size = 256 * 1024;
  std::int64_t rescue_after_ns = 10'000'000;
  bool rescue = true;
  bool strict_blocking = false;  // or $BATON_STRICT
  bool scatter = false;          // or $BATON_SCATTER
  bool ignore_sigpipe = true;
  deadlock_response on_deadlock = deadlock_response::report;
};

// Starts the runtime. If it runs already, the call only sets the number of Ps, and only if s.procs > 0. After exit()
// the runtime does not start again.
void start(const settings& s) noexcept;
// As start(), for a caller that has made a run_caller. While that object exists the runtime is not shut down.
void start_for_run(const settings& s) noexcept;
[[nodiscard]] bool is_running() noexcept;
// Ends all threads of the runtime. Returns true if they have ended, or if there are none. Returns false if the runtime
// is still needed, or if the caller may not shut it down: then `why` holds a text with the reason, and nothing has
// changed. start() may start the runtime again.
[[nodiscard]] bool shut_down(std::span<char> why) noexcept;
// A thread outside the runtime calls this after it has published something that only the runtime can serve. Starts the
// runtime if it has been shut down meanwhile. A fiber does not need this call: while a fiber exists, the runtime runs.
void runtime_needed() noexcept;
// Exists while an agent waits for an event that only the runtime reports: a ready descriptor, the end of a child. Does
// nothing for a fiber.
class served_wait {
 public:
  explicit served_wait(const agent* who) noexcept;
  ~served_wait();
  served_wait(const served_wait&) = delete;
  served_wait& operator=(const served_wait&) = delete;

 private:
  bool counted_;
};
// Marks the calling fiber as a daemon: it belongs to the runtime and serves many fibers. While a daemon fiber is parked
// it does not keep the runtime from being shut down. It has the default floating-point mode, not that of the agent for
// which it was started.
void mark_daemon() noexcept;
// Returns true if exit() has stopped the fibers. Those that were awake do not go on.
[[nodiscard]] bool is_ending() noexcept;
// Returns true if this thread called exit() and is running static destructors. A fiber it waits for never runs again.
[[nodiscard]] bool exits_here() noexcept;
// Every destructor that waits obeys this rule, and so does a close() that a destructor calls. It asks only when there
// is something to wait for. Returns false if the caller is the thread that exits: the destructor then does not wait,
// and leaves everything as it is, including the memory, which others may still use. The first time, a line on stderr
// says so and names what is left (`left`).
[[nodiscard]] bool destructor_may_wait(const char* left) noexcept;
// For the thread that exits: prints one line on stderr, once, that says that exit() has stopped all fibers and what
// this means here (`what`).
void say_frozen(const char* what) noexcept;
// As say_frozen(), for something that a destructor leaves as it is. Says nothing in the child of a fork.
void say_left(const char* what) noexcept;
[[nodiscard]] int procs() noexcept;
// Changes the number of Ps while the runtime runs, and returns the former number. Growth takes effect before the call
// returns. A P that must go is taken from its M at that M's next chance.
int set_procs(int n) noexcept;
// The monitor calls this with the time of CLOCK_MONOTONIC. If the number of Ps came from the CPUs, and the CPUs have
// changed, it changes the number of Ps. It looks at the CPUs at most once a second.
void follow_cpu_count(std::int64_t now_ns) noexcept;
[[nodiscard]] int max_threads() noexcept;
int set_max_threads(int n) noexcept;
// Registers the exit handler again, so that it runs before the static destructors that have been registered until now.
void main_returned() noexcept;
// Writes one line for each fiber (id, name, state, why it waits, its spawner) and, if the fiber waits, its stack. Uses
// write_all() (log.h), and stops at the first error.
void dump_fibers(int fd) noexcept;
// Writes the same to the log. Waits for the reader of the log, but for no more than a second in all.
void log_fibers() noexcept;

}  // namespace baton::sched
