// The thread is not stopped while its stack is read. A trace is worth printing because the thread was at the same place
// before and after that. The fiber may have left that place and come back meanwhile, which does no harm.
//
// A look that does not end in a report also has a cost (some 300 us), and there may be a thousand rescues a second. So
// there are at most ten looks a second. The other rescues are only counted.
#include <baton/sched/rescue_report.h>

#include <baton/sched/closure_name.h>
#include <baton/sched/log/log.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/scheduler.h>

#include <sys/syscall.h>
#include <algorithm>
#include <cstdio>
#include <string_view>

namespace baton::sched {

namespace {

using platform::thread_call_state;
using kind = thread_call_state::kind;

constexpr std::int64_t report_every_ns = 1'000'000'000;
constexpr std::int64_t look_every_ns = 100'000'000;
constexpr std::int64_t same_place_every_ns = 60'000'000'000;
constexpr std::size_t frames_max = 16;
constexpr std::size_t frames_compared = 4;
constexpr std::size_t text_max = 4096;  // what reaches a pipe as a whole

struct syscall_name {
  long number;
  const char* name;
};

constexpr syscall_name names[] = {
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_readv, "readv"},
    {SYS_writev, "writev"},
    {SYS_pread64, "pread"},
    {SYS_pwrite64, "pwrite"},
    {SYS_preadv, "preadv"},
    {SYS_pwritev, "pwritev"},
    {SYS_sendfile, "sendfile"},
    {SYS_splice, "splice"},
    {SYS_copy_file_range, "copy_file_range"},
    {SYS_openat, "open"},
    {SYS_close, "close"},
    {SYS_unlinkat, "unlink"},
    {SYS_getdents64, "getdents"},
    {SYS_statx, "statx"},
    {SYS_fcntl, "fcntl"},
    {SYS_ioctl, "ioctl"},
    {SYS_flock, "flock"},
    {SYS_fsync, "fsync"},
    {SYS_fdatasync, "fdatasync"},
    {SYS_msync, "msync"},
    {SYS_sync, "sync"},
    {SYS_syncfs, "syncfs"},
    {SYS_fallocate, "fallocate"},
    {SYS_ftruncate, "ftruncate"},
    {SYS_mount, "mount"},
    {SYS_umount2, "umount"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_restart_syscall, "a sleep or wait that was restarted"},
    {SYS_futex, "futex"},
    {SYS_ppoll, "ppoll"},
    {SYS_pselect6, "pselect"},
    {SYS_epoll_pwait, "epoll_wait"},
    {SYS_connect, "connect"},
    {SYS_accept, "accept"},
    {SYS_accept4, "accept"},
    {SYS_recvfrom, "recv"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_recvmmsg, "recvmmsg"},
    {SYS_sendto, "send"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_sendmmsg, "sendmmsg"},
    {SYS_wait4, "wait4"},
    {SYS_waitid, "waitid"},
    {SYS_rt_sigtimedwait, "sigtimedwait"},
    {SYS_rt_sigsuspend, "sigsuspend"},
    {SYS_mq_timedsend, "mq_send"},
    {SYS_mq_timedreceive, "mq_receive"},
    {SYS_semtimedop, "semtimedop"},
    {SYS_msgsnd, "msgsnd"},
    {SYS_msgrcv, "msgrcv"},
    {SYS_io_getevents, "io_getevents"},
    {SYS_execve, "execve"},
    {SYS_munmap, "munmap"},
    {SYS_madvise, "madvise"},
#ifdef SYS_io_uring_enter
    {SYS_io_uring_enter, "io_uring_enter"},
#endif
#ifdef SYS_epoll_pwait2
    {SYS_epoll_pwait2, "epoll_wait"},
#endif
#if defined(__x86_64__)  // the older forms
    {SYS_open, "open"},
    {SYS_poll, "poll"},
    {SYS_select, "select"},
    {SYS_epoll_wait, "epoll_wait"},
    {SYS_pause, "pause"},
    {SYS_semop, "semop"},
    {SYS_fork, "fork"},
    {SYS_vfork, "vfork"},
    {SYS_stat, "stat"},
    {SYS_lstat, "lstat"},
    {SYS_rename, "rename"},
    {SYS_unlink, "unlink"},
    {SYS_mkdir, "mkdir"},
#endif
};

// What the thread does now, and where. No frames if it has moved on.
struct look {
  thread_call_state call;
  void* frames[frames_max];
  std::size_t count = 0;
};

void look_at(const rescued& r, look& l) noexcept {
  l.call = platform::thread_call(r.tid);
  const auto from = context_of(l.call);
  if (!from) return;
  // Otherwise the thread is on another fiber's stack by now, or on a signal handler's.
  if (from->sp < r.stack.low || from->sp >= r.stack.high) return;
  const std::size_t n = unwind(*from, r.stack, l.frames);
  const auto now = platform::thread_call(r.tid);
  if (now.what == l.call.what && now.sp == l.call.sp && now.pc == l.call.pc) l.count = n;
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) noexcept {
  hash = (hash ^ value) * 0x9e37'79b9'7f4a'7c15U;
  return hash ^ (hash >> 32);
}

std::uint64_t hash_of(const rescued& r, const look& l) noexcept {
  std::uint64_t hash = mix(1, r.what == rescued::kind::computed ? 1 : 2);
  hash = mix(hash, static_cast<std::uint64_t>(l.call.number));
  if (l.count == 0) hash = mix(hash, reinterpret_cast<std::uintptr_t>(r.start));
  for (std::size_t i = 0; i < std::min(l.count, frames_compared); ++i) {
    hash = mix(hash, reinterpret_cast<std::uintptr_t>(l.frames[i]));
  }
  return hash;
}

// Text put together without allocating. What does not fit is cut off.
class text {
 public:
  __attribute__((format(printf, 2, 3))) void add(const char* format, ...) noexcept {
    __builtin_va_list args;
    __builtin_va_start(args, format);
    const int n = std::vsnprintf(buffer_ + used_, sizeof buffer_ - used_, format, args);
    __builtin_va_end(args);
    if (n > 0) used_ = std::min(used_ + static_cast<std::size_t>(n), sizeof buffer_ - 1);
  }
  void add_frames(const look& l) noexcept {
    used_ += baton::sched::format({l.frames, l.count}, {buffer_ + used_, sizeof buffer_ - used_});
  }
  [[nodiscard]] std::string_view all() const noexcept { return {buffer_, used_}; }

 private:
  char buffer_[text_max];
  std::size_t used_ = 0;
};

void add_call(text& t, const look& l, const char* before) noexcept {
  const char* const name = name_of_syscall(l.call.number);
  if (l.call.what == kind::outside) {
    t.add(" %sthe kernel, but in no call (a page fault?)", before);
  } else if (name != nullptr) {
    t.add(" %s%s (syscall %ld)", before, name, l.call.number);
  } else {
    t.add(" %ssyscall %ld", before, l.call.number);
  }
}

void add_sentence(text& t, const rescued& r, const look& l) noexcept {
  const bool in_kernel = l.call.what == kind::in_call || l.call.what == kind::outside;
  char label[fiber_label_max];
  label_fiber(r.fiber, r.name, label);
  t.add("baton: %s ", label);
  const auto ms = static_cast<long long>(r.age_ns / 1'000'000);
  if (r.what == rescued::kind::computed) {
    t.add("computed for %lld ms without a call that may switch; P handed on. ", ms);
    t.add("Call baton::this_fiber::yield() in it, or wrap it in baton::blocking().");
    if (in_kernel) {
      add_call(t, l, "Now it is in ");
      t.add(":");
    } else {
      closure_names closures;
      const char* const runs = closures.of(r.start, r.closure);
      if (runs[0] != '\0') t.add(" It began in %s.", runs);
      t.add(" (Where it is now is unknown: a thread that runs shows no address. perf does.)");
    }
    return;
  }
  const bool left_alone = r.what == rescued::kind::left_alone;
  t.add(left_alone ? "blocked its thread for %lld ms" : "kept its P for %lld ms", ms);
  if (in_kernel) {
    add_call(t, l, "in undeclared ");
  } else {
    t.add(" in an undeclared call%s", l.call.what == kind::running ? ", which is over" : "");
  }
  t.add("; %s. %s it in baton::blocking().", left_alone ? "P not handed on (strict mode)" : "P handed on",
        l.call.number == SYS_futex ? "Use baton's locks instead of the threads', or wrap" : "Wrap");
}

// Returns true if the thread waits for a lock of the runtime's own, whose holder does not get a CPU: the user could
// change nothing about that.
bool waits_for_own_lock(const look& l) noexcept {
  return std::any_of(l.frames, l.frames + std::min<std::size_t>(l.count, 4), platform::is_in_spin_lock);
}

bool write(std::string_view text, int fd) noexcept {
  return fd < 0 ? try_log_text(text) : write_without_waiting(fd, text) == text.size();
}

}  // namespace

const char* name_of_syscall(long number) noexcept {
  for (const syscall_name& s : names) {
    if (s.number == number) return s.name;
  }
  return nullptr;
}

// The fiber runs: its fields that change meanwhile (its name) are read in a race on purpose.
__attribute__((no_sanitize("thread"))) rescued describe_rescued(const machine& m, rescued::kind what,
                                                                std::int64_t age_ns) noexcept {
  rescued r;
  r.tid = m.tid.load(mo::relaxed);
  r.age_ns = age_ns;
  r.what = what;
  const fiber* const f = m.my_fiber();
  if (f == nullptr) return r;
  r.fiber = f->id;
  for (std::size_t i = 0; i + 1 < sizeof r.name; ++i) r.name[i] = f->name[i];
  r.start = f->start;
  r.closure = f->closure;
  r.stack.high = reinterpret_cast<std::uintptr_t>(f->stack.top);
  r.stack.low = r.stack.high - f->stack.size;
  return r;
}

bool rescue_reports::report(const rescued& r, std::int64_t now_ns, int fd) noexcept {
  if (!once_per_place_ && now_ns < next_look_ns_) {
    ++left_out_;
    return false;
  }
  next_look_ns_ = now_ns + look_every_ns;
  look l;
  look_at(r, l);
  if (waits_for_own_lock(l)) return false;
  const std::uint64_t hash = hash_of(r, l);
  place& p = place_of(hash);
  const bool known = p.hash == hash && p.at_ns != 0;
  if (known && p.written && (once_per_place_ || now_ns - p.at_ns < same_place_every_ns)) {
    if (!once_per_place_) ++left_out_;
    return false;
  }
  p = {hash, now_ns, false};
  // Before the line is written: a test that has read the line finds it counted.
  if (once_per_place_ && !known && r.what != rescued::kind::computed) {
    the_scheduler.strict_reports.fetch_add(1, mo::relaxed);
  }
  text t;
  add_sentence(t, r, l);
  if (left_out_ > 0) t.add(" (%llu more were not reported)", static_cast<unsigned long long>(left_out_));
  t.add("\n");
  t.add_frames(l);
  if (!write(t.all(), fd)) {
    ++left_out_;
    return false;
  }
  left_out_ = 0;
  next_look_ns_ = now_ns + report_every_ns;
  p.written = true;
  return true;
}

// Returns the entry of that place, or else the oldest. There are more entries than reports in a minute.
rescue_reports::place& rescue_reports::place_of(std::uint64_t hash) noexcept {
  place* oldest = &places_[0];
  for (place& p : places_) {
    if (p.hash == hash && p.at_ns != 0) return p;
    if (p.at_ns < oldest->at_ns) oldest = &p;
  }
  return *oldest;
}

}  // namespace baton::sched
