// Guards are installed in batches, as chunks are cut. The kind only ever gets worse:
//
//   1. guard_region: one process_madvise for the batch (640 ns a guard, against 950 for a madvise each), on
//      PIDFD_SELF, or, before Linux 6.15, on a pidfd that is opened for the batch and closed again: a descriptor
//      kept open would mean the parent after a fork, and something else after a close-all. The guards that the
//      batch leaves are tried one by one. EINVAL for a single one means that the kernel does not know guard
//      regions, or that the memory is locked (mlockall); EPERM and ENOSYS come from a filter of system calls: continue
//      with 2. Any other error concerns only this guard, which is tried as in 2. The first guard is put to the test: an
//      emulator (qemu-user) takes the advice and ignores it. Where the guard can be read, continue with 2.
//   2. mprotect_pages, as long as mappings last. Each guard splits a mapping and so costs two of
//      vm.max_map_count. Half of what remains above a reserve for other code in the process is for guards.
//      ENOMEM says that other code has used the mappings up. Then:
//   3. none: a stack without a guard is better than no stack, but one warning must say so.
//
// Guards are never removed, because stacks never are.
#include <baton/sched/stack/guard.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/peek_memory.h>
#include <baton/sched/platform/valgrind.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace baton::sched {

namespace {
namespace mo = platform::mo;

constexpr int madv_guard_install = 102;
constexpr int pidfd_self = -10'001;  // PIDFD_SELF_THREAD_GROUP

constexpr std::size_t batch = 64;
constexpr std::size_t max_map_count_default = 65'530;
constexpr std::size_t mappings_for_others = 2'000;

std::size_t read_max_map_count() noexcept {
  const int fd = ::open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return max_map_count_default;
  char text[24] = {};
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  const auto value = n > 0 ? std::strtoull(text, nullptr, 10) : 0;
  return value > 0 ? static_cast<std::size_t>(value) : max_map_count_default;
}

std::size_t mprotect_guards_allowed() noexcept {
  const std::size_t mappings = read_max_map_count();
  return mappings > mappings_for_others ? (mappings - mappings_for_others) / 2 : 0;
}

// Returns what the system call returns: a number of bytes, or -1.
long advise(const iovec* ranges, std::size_t n) noexcept {
#if defined(SYS_process_madvise) && defined(SYS_pidfd_open)
  if (platform::runs_under_valgrind()) return -1;  // it would say that it does not know the call
  long done = ::syscall(SYS_process_madvise, pidfd_self, ranges, n, madv_guard_install, 0);
  if (done >= 0 || errno != EBADF) return done;
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));  // close-on-exec by nature
  if (fd < 0) return -1;
  done = ::syscall(SYS_process_madvise, fd, ranges, n, madv_guard_install, 0);
  ::close(fd);
  return done;
#else
  static_cast<void>(ranges);
  static_cast<void>(n);
  return -1;
#endif
}

bool can_be_read(const std::byte* at) noexcept {
  std::byte copy{};
  return platform::peek_memory(reinterpret_cast<std::uintptr_t>(at), &copy, sizeof copy);
}

}  // namespace

bool install_guard_region(std::byte* at, std::size_t bytes) noexcept {
  return ::madvise(at, bytes, madv_guard_install) == 0;
}

void guard_installer::install(std::byte* first, std::size_t stride, std::size_t bytes, std::size_t count) noexcept {
  const int saved_errno = errno;
  std::size_t done = 0;
  while (done < count) {
    if (kind() == guard_kind::guard_region) {
      const std::size_t n = std::min(batch, count - done);
      const std::size_t got = install_regions(first + done * stride, stride, bytes, n);
      installed_.fetch_add(got, mo::relaxed);
      done += got;
      if (got == n) continue;
    }
    // A guard that the batch could not install, or every guard where there are no guard regions.
    if (protect_pages(first + done * stride, bytes)) {
      installed_.fetch_add(1, mo::relaxed);
    } else {
      if (failures() == 0) without_from_ = installed_.load(mo::relaxed);
      failures_.fetch_add(1, mo::relaxed);
    }
    ++done;
  }
  errno = saved_errno;
}

// Returns how many guards, counted from the first, have their guard region now.
std::size_t guard_installer::install_regions(std::byte* first, std::size_t stride, std::size_t bytes,
                                             std::size_t count) noexcept {
  std::array<iovec, batch> ranges;
  for (std::size_t i = 0; i < count; ++i) ranges[i] = {first + i * stride, bytes};
  const long advised = count > 1 ? advise(ranges.data(), count) : -1;
  std::size_t done = advised > 0 ? static_cast<std::size_t>(advised) / bytes : 0;
  for (; done < count; ++done) {
    if (install_guard_region(first + done * stride, bytes)) continue;
    if (errno == EINVAL || errno == ENOSYS || errno == EPERM) fall_back(guard_kind::mprotect_pages, errno);
    break;
  }
  if (!region_tried_ && done > 0) {
    region_tried_ = true;
    if (can_be_read(first)) {
      fall_back(guard_kind::mprotect_pages, 0);
      return 0;
    }
  }
  return done;
}

bool guard_installer::protect_pages(std::byte* at, std::size_t bytes) noexcept {
  if (kind() == guard_kind::none) return false;
  if (!mprotect_counted_) {
    mprotect_left_ = mprotect_guards_allowed();
    mprotect_counted_ = true;
  }
  if (mprotect_left_ == 0) {
    fall_back(guard_kind::none, 0);
    return false;
  }
  if (::mprotect(at, bytes, PROT_NONE) != 0) {
    fall_back(guard_kind::none, errno);
    return false;
  }
  --mprotect_left_;
  return true;
}

void guard_installer::fall_back(guard_kind to, int error) noexcept {
  if (to == guard_kind::none) {
    error_ = error;
    if (kind() == guard_kind::guard_region) return;  // this guard failed; the next one may not
  }
  kind_.store(to, mo::relaxed);
}

bool guard_installer::warning_due() noexcept {
  if (warned_ || failures() == 0) return false;
  warned_ = true;
  return true;
}

void guard_installer::warn() const noexcept {
  const char* const why = error_ == 0 || error_ == ENOMEM ? "too many mappings" : std::strerror(error_);
  sched::warn("stacks beyond the %llu-th have no guard: %s (raise vm.max_map_count)",
              static_cast<unsigned long long>(without_from_), why);
}

void guard_installer::set_for_test(guard_kind kind, std::size_t mprotect_guards_max) noexcept {
  kind_.store(kind, mo::relaxed);
  region_tried_ = false;
  mprotect_counted_ = mprotect_guards_max != 0;
  mprotect_left_ = mprotect_guards_max;
}

}  // namespace baton::sched
