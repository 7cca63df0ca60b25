// Public API: run(), which enters the runtime, shutdown(), and what concerns the runtime as a whole.
//
//   int main() {
//     return baton::run([] {
//       ...                      // a fiber
//       return 0;
//     });
//   }
#pragma once

#include <baton/runtime/fiber.h>
#include <baton/runtime/options.h>
#include <baton/sched/deadlock.h>

#include <absl/status/status.h>
#include <functional>
#include <type_traits>
#include <utility>

namespace baton {

namespace detail {

// Lives as long as run(). The destructor runs at each return, also by an exception.
class run_scope {
 public:
  explicit run_scope(const options& o);
  run_scope(const run_scope&) = delete;
  run_scope& operator=(const run_scope&) = delete;
  ~run_scope();

 private:
  const sched::run_caller caller_;
};

// What the main fiber runs. It holds a reference: the function outlives the fiber, and need not be copied or moved.
template <class Main>
struct main_call {
  using wrapped_function = std::remove_cvref_t<Main>;
  Main& function;
  std::invoke_result_t<Main> operator()() const { return std::invoke(std::forward<Main>(function)); }
};

}  // namespace detail

// Runs main_function as a fiber named "main" and waits for it. Returns what it returns (0 if that is void), or throws
// what it throws. The calling thread only waits; it runs no fibers.
//
// The runtime is process-wide. It starts with the first call that needs it (this one, go, spawn) and is not destroyed
// before the process ends (but see shutdown()). Other fibers go on after run() has returned. run() can be called again,
// also by several threads at once. The options count for the call that starts the runtime; of later options only
// `procs` counts, if it is not 0.
//
// exit(), or returning from ::main, stops every fiber at its next call into the runtime. That happens before the
// destructors of statics that existed when run() last returned or, if it never returned, when the runtime started.
// (After 1,000 returns only the 2^n-th return counts.) It happens after the destructors of younger statics: a fiber
// that calls exit() during the first run() ends function-local statics that fibers have made while others may still use
// them. A thread that exits after run() has returned does not meet this problem.
//
// In destructors and atexit handlers that come later no fiber goes on. run(), and fiber::join() of a fiber that has not
// ended, abort there. A destructor that would wait for such fibers (of fiber, task_group, on_cancel, streams and
// listeners; also their close()) leaves them as they are, with a line on stderr. go() and spawn() start fibers that
// never run. Any other wait is for other threads; if it lasts a second, a line says so once.
//
// If all fibers wait for each other while run() waits for the main one, options::on_deadlock says what happens.
//
// A call from a fiber aborts. Throws std::bad_alloc if there is no memory for the fiber.
template <class Main>
int run(Main&& main_function, options o = {}) {
  using result = std::invoke_result_t<Main>;
  static_assert(std::is_void_v<result> || std::is_convertible_v<result, int>,
                "the function given to run() returns void or what converts to int");
  const detail::run_scope scope(o);
  auto fiber = spawn({.name = "main"}, detail::main_call<Main>{main_function});
  if constexpr (std::is_void_v<result>) {
    fiber.join();
    return 0;
  } else {
    return static_cast<int>(fiber.join());
  }
}

// Ends every thread of the runtime. It is for a program that needs the runtime no more, or not for a while. The next
// call that needs the runtime starts it again; if that call is run(), its options count. Memory that has been mapped
// for stacks is kept for that.
//
// Returns FAILED_PRECONDITION, and does nothing, while the runtime is needed. The message names
//   - fibers that have not ended. Fibers that run, or are about to, are given 100 ms for that; fibers that wait are
//     not. A fiber that has ended and was not joined is not an obstacle
//   - timers that are set, also those of contexts and deadlines
//   - threads that wait for a descriptor
// It returns the same from a fiber, after exit(), and in the child of a fork. Returns OK if the runtime does not run.
// Signals that os_signals catches meanwhile are delivered when the runtime runs again; reset() them first if they are
// to act as if it had never run.
//
// May be called from any thread, by several at once. It blocks the thread until the runtime's threads have ended. A
// call on another thread that needs the runtime meanwhile waits for that and starts it again: nothing is lost.
absl::Status shutdown();

// procs() returns the number of logical processors, set_procs() changes it, and set_max_threads() changes the greatest
// number of threads (options::max_threads). The changes take effect while everything runs. Both functions return the
// former number; n < 1 changes nothing. After set_procs the number no longer follows what the affinity mask and cgroups
// allow. May be called from any thread. They never park the caller.
[[nodiscard]] int procs() noexcept;
int set_procs(int n) noexcept;
int set_max_threads(int n) noexcept;

// Writes to the descriptor, for each fiber: id, name, state, why it waits, its spawner, what it runs (the type of the
// callable, or the function that a pointer names), and the stack of one that waits; then a line per call site
// (call_sites.h). Names are escaped, so that a line is a line. A write waits as write(2) does: a full pipe that blocks
// blocks the calling thread. Short writes and EINTR are continued. A descriptor that does not block is waited for, a
// second at most each time. Any other error ends the dump, and the rest is not written.
void dump_fibers(int fd) noexcept;

}  // namespace baton
