// The parent's side. The thread blocks all its signals, clones, and waits in the kernel until the child has begun its
// program or ended (CLONE_VFORK). The child's error comes back through the memory that both share (CLONE_VM). A child
// that failed has ended by then, and is reaped here.
//
// A start keeps a thread for a good part of a millisecond. So starts pass a gate: a hundred starts at once keep two
// threads. They end hardly later than they would without the gate: the kernel's work for them needs the CPUs, and takes
// turns at the locks of the memory map that all these children share.
//
// A start can also hang: its program, or its directory, is on a network file system that does not answer, or a
// process has a lease on the program. Two of these would stop all others. So a start that has waited for a second,
// while none has ended, goes through a second, wider gate.
//
// The child begins with this process's table of descriptors, not with a copy (child.cc).
//
// The child's stack is heap memory. The child uses a few hundred bytes of it (child.cc); no signal handler runs there.
#include <baton/syscall/fork_exec.h>

#include <baton/sched/durations.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/waiter.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/c_string.h>
#include <baton/syscall/child.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/kernel_structs.h>
#include <baton/syscall/processes.h>

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace baton::sys {

namespace {

using baton::detail::gate_entry;
using detail::call;
using detail::child_plan;
using detail::child_step;
using detail::kernel_sigaction;
using detail::kernel_signals;
using detail::kernel_sigset_size;
using detail::start_failure;
using detail::started_child;
namespace mo = sched::platform::mo;

// Threads may start children until the process is gone.
union never_destroyed {
  constexpr explicit never_destroyed(int at_once) noexcept : gate(at_once, baton::detail::share_of_threads{}) {}
  ~never_destroyed() {}
  blocking_gate gate;
};
constinit never_destroyed starts(2);
constinit never_destroyed starts_beside_hung_ones(32);
constexpr std::int64_t hung_after_ns = 1'000'000'000;
// Those of the first gate. relaxed: a number that orders nothing.
constinit sched::platform::atomic<std::uint64_t> starts_ended{0};

constexpr std::size_t child_stack_size = 16 * 1024;

// Of all 64 signals.
class all_signals_blocked {
 public:
  all_signals_blocked() noexcept {
    const std::uint64_t all = ~std::uint64_t{0};
    (void)raw_syscall(SYS_rt_sigprocmask, int{SIG_SETMASK}, &all, &former_, kernel_sigset_size);
  }
  ~all_signals_blocked() {
    (void)raw_syscall(SYS_rt_sigprocmask, int{SIG_SETMASK}, &former_, nullptr, kernel_sigset_size);
  }
  all_signals_blocked(const all_signals_blocked&) = delete;
  all_signals_blocked& operator=(const all_signals_blocked&) = delete;

 private:
  std::uint64_t former_ = 0;
};

// A null-terminated array of the C strings of `texts`. error: EINVAL if one has a NUL inside.
class c_strings {
 public:
  explicit c_strings(const std::vector<std::string>& texts) {
    pointers_.reserve(texts.size() + 1);
    for (const std::string& t : texts) {
      const c_string text(t);
      if (text.error() != 0) {
        error_ = text.error();
        return;
      }
      pointers_.push_back(text.get());
    }
    pointers_.push_back(nullptr);
  }
  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] const char* const* get() const noexcept { return pointers_.data(); }

 private:
  std::vector<const char*> pointers_;
  int error_ = 0;
};

// Reaps a child that is ending.
void reap(::pid_t pid) noexcept { (void)call<SYS_wait4, ::pid_t>(pid, nullptr, 0, nullptr); }

#if BATON_TSAN
// ThreadSanitizer takes clone() for a fork() without memory in common, and ends the caller's own thread for it. It
// leaves the C library's other name alone.
extern "C" int __clone(int (*run)(void*), void* stack_end, int flags, void* argument, ...) noexcept;
constexpr auto call_clone = __clone;
#else
constexpr auto call_clone = ::clone;
#endif

// Cleared where the kernel or a sandbox does not let a child share the table of descriptors, or leave it. relaxed: a
// start that does not see the change yet finds it out for itself.
constinit sched::platform::atomic<bool> tables_are_shared{true};

// Returns the pid, or a negative errno. Requires: all signals are blocked. `pidfd` may be null.
long clone_once(child_plan& plan, std::byte* stack_end, int* pidfd) noexcept {
  const int saved = errno;
  const int flags =
      CLONE_VM | CLONE_VFORK | SIGCHLD | (plan.shares_table ? CLONE_FILES : 0) | (pidfd != nullptr ? CLONE_PIDFD : 0);
  const int pid = call_clone(detail::run_child, stack_end, flags, &plan, pidfd);
  const long answer = pid < 0 ? -errno : pid;
  errno = saved;
  return answer;
}

bool is_refusal(long answer) noexcept { return answer == -EPERM || answer == -EINVAL || answer == -ENOSYS; }

// The same, without what is refused. `pidfd` is -1 afterwards if that is the pidfd.
long clone_child(child_plan& plan, std::byte* stack_end, bool wants_pidfd, int& pidfd) noexcept {
  long pid = -ENOSYS;
  if (wants_pidfd) pid = clone_once(plan, stack_end, &pidfd);
  if (is_refusal(pid)) pid = clone_once(plan, stack_end, nullptr);
  return pid;
}

// Blocks the thread until the child has begun its program.
start_failure clone_and_wait(child_plan& plan, bool wants_pidfd, std::byte* stack_end, started_child& into) noexcept {
  long pid = 0;
  int pidfd = -1;
  {
    const all_signals_blocked blocked;
    pid = clone_child(plan, stack_end, wants_pidfd, pidfd);
  }
  if (pid < 0) return {static_cast<int>(-pid), child_step::clone};
  owned_fd owned(pidfd);
  if (plan.error != 0) {
    reap(static_cast<::pid_t>(pid));
    return {plan.error, plan.step};
  }
  into.pid = static_cast<::pid_t>(pid);
  into.pidfd = std::move(owned);
  return {};
}

start_failure start_and_wait(child_plan& plan, bool wants_pidfd, started_child& into) noexcept {
  const std::unique_ptr<std::byte[]> stack(new (std::nothrow) std::byte[child_stack_size]);
  if (stack == nullptr) return {ENOMEM, child_step::clone};
  std::byte* const stack_end = stack.get() + child_stack_size;
  plan.parent = *sys::getpid();
  plan.shares_table = tables_are_shared.load(mo::relaxed);
  const start_failure failed = clone_and_wait(plan, wants_pidfd, stack_end, into);
  const bool refused =
      failed.step == child_step::table || (failed.step == child_step::clone && is_refusal(-failed.error));
  if (failed.error == 0 || !plan.shares_table || !refused) return failed;
  plan.shares_table = false;
  plan.error = 0;
  const start_failure last = clone_and_wait(plan, wants_pidfd, stack_end, into);
  if (last.error == 0 || last.step != child_step::clone) tables_are_shared.store(false, mo::relaxed);
  return last;
}

// Switches. Waits until the start may be made, and returns the gate that it is in; null: the canceller has ended the
// wait.
gate_entry* enter_gate(gate_entry& narrow, gate_entry& wide, gate_entry::canceller* cancel) noexcept {
  for (;;) {
    const std::uint64_t before = starts_ended.load(mo::relaxed);
    const std::uint32_t outcome = narrow.enter(baton::detail::deadline_after_ns(hung_after_ns), cancel);
    if (outcome == sched::waiter::signalled) return &narrow;
    if (outcome == sched::waiter::cancelled) return nullptr;
    if (starts_ended.load(mo::relaxed) == before) break;
  }
  return wide.enter(sched::platform::forever_ns, cancel) == sched::waiter::signalled ? &wide : nullptr;
}

start_failure start_behind_gate(child_plan& plan, bool wants_pidfd, gate_entry::canceller* cancel,
                                started_child& into) noexcept {
  gate_entry narrow(starts.gate);
  gate_entry wide(starts_beside_hung_ones.gate);
  gate_entry* const inside = enter_gate(narrow, wide, cancel);
  if (inside == nullptr) return {ECANCELED, child_step::prepare};
  return blocking([&]() noexcept {
    const start_failure failed = start_and_wait(plan, wants_pidfd, into);
    if (inside == &narrow) starts_ended.fetch_add(1, mo::relaxed);
    inside->leave();  // within the call: no other start may wait while this fiber waits for a P
    return failed;
  });
}

// Sets *text to the C string of a name, or to null if the name is empty. Returns 0 or an errno.
int optional_name(const std::string& name, const char** text) noexcept {
  const c_string c(name);
  if (c.error() != 0) return c.error();
  *text = name.empty() ? nullptr : c.get();
  return 0;
}

// Fills in what the plan has of the attributes, except for files and the environment.
int describe_child(child_plan& plan, const child_attributes& a) noexcept {
  if (const int error = optional_name(a.dir, &plan.dir)) return error;
  if (const int error = optional_name(a.root, &plan.root)) return error;
  plan.as = a.as ? &*a.as : nullptr;
  plan.limits = a.limits.data();
  plan.limits_count = a.limits.size();
  plan.new_session = a.new_session;
  // The leader of a session leads a group already, and may not ask for one.
  plan.has_process_group = a.process_group.has_value() && !(a.new_session && *a.process_group == 0);
  plan.process_group = a.process_group.value_or(0);
  plan.has_umask = a.umask.has_value();
  plan.umask = a.umask.value_or(0);
  plan.has_terminal = a.terminal.has_value();
  plan.terminal = a.terminal.value_or(-1);
  plan.death_signal = a.death_signal;
  return 0;
}

}  // namespace

namespace detail {

start_failure start_child(const std::vector<std::string>& paths, const std::vector<std::string>& argv,
                          const child_attributes& attributes, bool wants_pidfd, gate_entry::canceller* cancel,
                          started_child& into) noexcept try {
  if (argv.empty()) return {EINVAL, child_step::prepare};
  const c_strings path_pointers(paths);
  const c_strings arguments(argv);
  const std::vector<std::string> none;
  const c_strings environment(attributes.env ? std::as_const(*attributes.env) : none);
  for (const c_strings* texts : {&path_pointers, &arguments, &environment}) {
    if (texts->error() != 0) return {texts->error(), child_step::prepare};
  }
  std::vector<int> files = attributes.files;
  child_plan plan;
  if (const int error = describe_child(plan, attributes)) return {error, child_step::prepare};
  plan.paths = path_pointers.get();
  plan.argv = arguments.get();
  plan.env = attributes.env ? environment.get() : ::environ;
  plan.files = files.data();
  plan.files_count = static_cast<int>(files.size());
  return start_behind_gate(plan, wants_pidfd, cancel, into);
} catch (const std::bad_alloc&) {
  return {ENOMEM, child_step::prepare};
}

}  // namespace detail

result<::pid_t> fork_exec(const std::string& path, const std::vector<std::string>& argv,
                          const child_attributes& attributes) noexcept try {
  started_child child;
  const start_failure failed = detail::start_child({path}, argv, attributes, false, nullptr, child);
  if (failed.error != 0) return failure(failed.error);
  return child.pid;
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

namespace {

// Gives the ignored signals of the process their default disposition; the destructor takes that back. exec itself does
// so with the signals that have a handler.
class ignored_signals_defaulted {
 public:
  ignored_signals_defaulted() noexcept {
    const kernel_sigaction by_default;
    for (int s = 1; s <= kernel_signals; ++s) {
      kernel_sigaction& former = former_[s - 1];
      if (!raw_syscall(SYS_rt_sigaction, s, nullptr, &former, kernel_sigset_size) || former.handler != ignore) continue;
      ignored_ |= std::uint64_t{1} << (s - 1);
      (void)raw_syscall(SYS_rt_sigaction, s, &by_default, nullptr, kernel_sigset_size);
    }
  }
  ~ignored_signals_defaulted() {
    for (int s = 1; s <= kernel_signals; ++s) {
      if ((ignored_ >> (s - 1) & 1) != 0) {
        (void)raw_syscall(SYS_rt_sigaction, s, &former_[s - 1], nullptr, kernel_sigset_size);
      }
    }
  }
  ignored_signals_defaulted(const ignored_signals_defaulted&) = delete;
  ignored_signals_defaulted& operator=(const ignored_signals_defaulted&) = delete;

 private:
  static constexpr unsigned long ignore = 1;  // SIG_IGN
  kernel_sigaction former_[kernel_signals];   // with the flags, which matter for SIGCHLD
  std::uint64_t ignored_ = 0;
};

int execute(const char* path, const char* const* argv, const char* const* env) noexcept {
  const ignored_signals_defaulted dispositions;
  const std::uint64_t none = 0;
  std::uint64_t former = 0;
  (void)raw_syscall(SYS_rt_sigprocmask, int{SIG_SETMASK}, &none, &former, kernel_sigset_size);
  const int error = raw_syscall(SYS_execve, path, argv, env).error();
  (void)raw_syscall(SYS_rt_sigprocmask, int{SIG_SETMASK}, &former, nullptr, kernel_sigset_size);
  return error;
}

}  // namespace

result<void> exec(const std::string& path, const std::vector<std::string>& argv,
                  const std::vector<std::string>& env) noexcept try {
  if (argv.empty()) return failure(EINVAL);
  const c_string name(path);
  const c_strings arguments(argv);
  const c_strings environment(env);
  for (const int error : {name.error(), arguments.error(), environment.error()}) {
    if (error != 0) return failure(error);
  }
  return failure(blocking([&]() noexcept { return execute(name.get(), arguments.get(), environment.get()); }));
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

}  // namespace baton::sys
