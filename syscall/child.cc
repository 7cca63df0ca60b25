// The child of fork_exec shares the parent's memory, and the parent's thread is stopped in clone (CLONE_VFORK) until
// the child has begun its program or ended. Other threads of the parent run on. So everything here is async-signal-safe
// and more: it traps directly (the C library's wrappers write errno, a thread-local that the child shares with the
// stopped thread, and setuid and its kin would change all threads of the parent), takes no lock, and allocates nothing.
//
// All signals are blocked: no handler of the parent runs in the child, whose memory it would change. The child first
// sets all dispositions to the default one, and unblocks the signals as its last step before exec.
//
// This file is compiled without sanitizers (syscall/CMakeLists.txt): their instrumentation keeps the state of the
// calling thread, and functions that never return would leave it unbalanced.
//
// The table of descriptors is the parent's at first (CLONE_FILES). The child takes a table of its own, of the
// descriptors that it may need, before it changes anything there. A copy of the whole table, which a clone without
// CLONE_FILES makes, takes long in a process with many connections. And while the copy exists, a file that another
// thread closes is still open: a program that was just written could not be executed (ETXTBSY).
//
// Order of the steps: descriptors before limits, since RLIMIT_NOFILE would end the moves; limits and chroot before the
// credentials that permit them; the death signal after the credentials, which clear it.
#include <baton/syscall/child.h>

#include <baton/syscall/kernel_structs.h>
#include <baton/syscall/raw_syscall.h>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <cerrno>
#include <climits>

namespace baton::sys::detail {

namespace {

[[noreturn]] void fail(child_plan& plan, child_step step, long answer) noexcept {
  plan.error = static_cast<int>(-answer);
  plan.step = step;
  for (;;) trap(SYS_exit_group, 127);
}

void check(child_plan& plan, child_step step, long answer) noexcept {
  if (answer < 0) fail(plan, step, answer);
}

// Where close_range is refused, the new table has copies of all descriptors.
void own_table(child_plan& plan) noexcept {
  if (!plan.shares_table) return;
  unsigned end = static_cast<unsigned>(plan.files_count);
  for (int i = 0; i < plan.files_count; ++i) {
    const int fd = plan.files[i];
    if (fd >= 0 && static_cast<unsigned>(fd) >= end) end = static_cast<unsigned>(fd) + 1;
  }
  if (trap(SYS_close_range, end, UINT_MAX, unsigned{CLOSE_RANGE_UNSHARE}) == 0) return;
  check(plan, child_step::table, trap(SYS_unshare, int{CLONE_FILES}));
}

// Brings files[i] to number i. A descriptor that lies below its place would be overwritten before its turn; it is moved
// out of the way first.
void place_files(child_plan& plan) noexcept {
  const int n = plan.files_count;
  for (int i = 0; i < n; ++i) {
    if (plan.files[i] < 0 || plan.files[i] >= i) continue;
    const long moved = trap(SYS_fcntl, plan.files[i], int{F_DUPFD_CLOEXEC}, n);
    check(plan, child_step::files, moved);
    plan.files[i] = static_cast<int>(moved);
  }
  for (int i = 0; i < n; ++i) {
    if (plan.files[i] < 0) {
      trap(SYS_close, i);
    } else if (plan.files[i] == i) {
      check(plan, child_step::files, trap(SYS_fcntl, i, int{F_SETFD}, 0));
    } else {
      long answer;
      do answer = trap(SYS_dup3, plan.files[i], i, 0);
      while (answer == -EINTR || answer == -EBUSY);
      check(plan, child_step::files, answer);
    }
  }
}

// Closes what /proc/self/fd lists from `first` on. Returns false if it cannot be read.
bool close_listed(int first) noexcept {
  const long directory = trap(SYS_openat, int{AT_FDCWD}, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (directory < 0) return false;
  alignas(8) char entries[1024];
  // Closing while reading may hide entries. So the list is read until it has nothing left to close.
  for (bool closed_some = true; closed_some;) {
    closed_some = false;
    trap(SYS_lseek, directory, 0L, int{SEEK_SET});
    for (;;) {
      const long n = trap(SYS_getdents64, directory, &entries[0], sizeof entries);
      if (n < 0) return false;
      if (n == 0) break;
      for (long at = 0; at < n;) {
        const auto* const head = reinterpret_cast<const dirent_head*>(entries + at);
        int number = 0;
        const char* const name = entries + at + dirent_head::name_at;
        const char* digit = name;
        for (; *digit >= '0' && *digit <= '9'; ++digit) number = number * 10 + (*digit - '0');
        if (*digit == '\0' && digit != name && number >= first && number != directory) {
          trap(SYS_close, number);
          closed_some = true;
        }
        at += head->size;
      }
    }
  }
  trap(SYS_close, directory);
  return true;
}

// A filter of system calls may refuse close_range, and /proc may be missing. Then every number that the kernel gives by
// default is closed, because the limit may have been higher when a descriptor was opened.
void close_from(int first) noexcept {
  constexpr int end = 1 << 20;
  if (trap(SYS_close_range, static_cast<unsigned>(first), UINT_MAX, 0U) == 0 || close_listed(first)) return;
  for (int fd = first; fd < end; ++fd) trap(SYS_close, fd);
}

void take_credentials(child_plan& plan, const credentials& as) noexcept {
  const child_step step = child_step::credentials;
  check(plan, step, trap(SYS_setgroups, as.groups.size(), as.groups.data()));
  check(plan, step, trap(SYS_setgid, as.gid));
  check(plan, step, trap(SYS_setuid, as.uid));
}

// Tries the paths as execvp does: on past names that are not there, and past those that may not be executed.
[[noreturn]] void execute(child_plan& plan) noexcept {
  long answer = -ENOENT;
  bool denied = false;
  for (const char* const* path = plan.paths; *path != nullptr; ++path) {
    answer = trap(SYS_execve, *path, plan.argv, plan.env);
    if (answer == -EACCES) {
      denied = true;
    } else if (answer != -ENOENT && answer != -ENOTDIR && answer != -ESTALE && answer != -ENODEV &&
               answer != -ETIMEDOUT) {
      fail(plan, child_step::exec, answer);
    }
  }
  fail(plan, child_step::exec, denied ? -EACCES : answer);
}

void default_all_signals() noexcept {
  const kernel_sigaction by_default;
  for (int s = 1; s <= kernel_signals; ++s) trap(SYS_rt_sigaction, s, &by_default, nullptr, kernel_sigset_size);
}

}  // namespace

[[gnu::flatten]] int run_child(void* argument) noexcept {
  child_plan& plan = *static_cast<child_plan*>(argument);
  default_all_signals();
  if (plan.new_session) check(plan, child_step::session, trap(SYS_setsid));
  if (plan.has_process_group) check(plan, child_step::process_group, trap(SYS_setpgid, 0, plan.process_group));
  own_table(plan);
  place_files(plan);
  if (plan.has_terminal) {
    check(plan, child_step::terminal, trap(SYS_ioctl, plan.terminal, static_cast<unsigned long>(TIOCSCTTY), 0));
  }
  if (plan.has_umask) trap(SYS_umask, plan.umask);
  for (std::size_t i = 0; i < plan.limits_count; ++i) {
    check(plan, child_step::limits, trap(SYS_prlimit64, 0, plan.limits[i].first, &plan.limits[i].second, nullptr));
  }
  if (plan.root != nullptr) check(plan, child_step::root, trap(SYS_chroot, plan.root));
  if (plan.as != nullptr) take_credentials(plan, *plan.as);
  if (plan.dir != nullptr) check(plan, child_step::directory, trap(SYS_chdir, plan.dir));
  if (plan.death_signal != 0) {
    check(plan, child_step::death_signal, trap(SYS_prctl, int{PR_SET_PDEATHSIG}, plan.death_signal, 0, 0, 0));
    // The parent may have ended before that.
    if (trap(SYS_getppid) != plan.parent) trap(SYS_kill, static_cast<int>(trap(SYS_getpid)), plan.death_signal);
  }
  close_from(plan.files_count);
  const std::uint64_t none = 0;
  trap(SYS_rt_sigprocmask, int{SIG_SETMASK}, &none, nullptr, kernel_sigset_size);
  execute(plan);
}

}  // namespace baton::sys::detail
