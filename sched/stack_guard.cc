// Three ways, the best first; a way that fails is not tried again.
//
//   guard regions   madvise(MADV_GUARD_INSTALL), Linux 6.13: marks page-table entries, so a million
//                   guards need no mapping of their own. Many at a time by process_madvise on ourselves:
//                   one system call per batch. EINVAL on older kernels and under mlockall.
//   mprotect        splits a mapping in three, and there are vm.max_map_count mappings (65,530 by
//                   default): some 32,000 guards, of which a few are left to the application
//   none            said once
//
// Called under the pool's lock, so the state here has one writer at a time.
#include <baton/sched/stack_guard.h>

#include <baton/sched/fatal.h>
#include <baton/sched/platform/atomic.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace baton::sched::stack_guard {

namespace {

namespace mo = platform::mo;
using guard_kind = stack_pool::guard_kind;

constexpr int madv_guard_install = 102;
constexpr std::size_t batch_max = 64;
// Mappings that are left to the application: libraries, its own maps, other threads' stacks.
constexpr std::uint64_t mappings_kept_free = 4096;

platform::atomic<guard_kind> current{guard_kind::guard_region};
platform::atomic<std::uint64_t> unguarded{0};
std::uint64_t mprotected = 0;
std::uint64_t mprotect_budget = 0;  // 0: not read yet
bool warned = false;

std::uint64_t read_budget() noexcept {
  std::uint64_t mappings = 65'530;
  if (std::FILE* const f = std::fopen("/proc/sys/vm/max_map_count", "re")) {
    unsigned long long n = 0;
    if (std::fscanf(f, "%llu", &n) == 1) mappings = n;
    std::fclose(f);
  }
  // Each guard adds two mappings.
  return mappings > 2 * mappings_kept_free ? (mappings - mappings_kept_free) / 2 : mappings / 4;
}

// One system call for all; how many were done.
std::size_t install_regions(std::byte* first, std::size_t stride, std::size_t n) noexcept {
  std::size_t done = 0;
  static const int self = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
  while (done < n && self >= 0) {
    iovec ranges[batch_max];
    const std::size_t batch = std::min(n - done, batch_max);
    for (std::size_t i = 0; i < batch; ++i) ranges[i] = {first + (done + i) * stride, bytes};
    const long r = ::syscall(SYS_process_madvise, self, ranges, batch, madv_guard_install, 0);
    if (r <= 0) break;
    done += static_cast<std::size_t>(r) / bytes;
    if (static_cast<std::size_t>(r) < batch * bytes) break;
  }
  while (done < n && ::madvise(first + done * stride, bytes, madv_guard_install) == 0) ++done;
  return done;
}

std::size_t install_mprotect(std::byte* first, std::size_t stride, std::size_t n) noexcept {
  if (mprotect_budget == 0) mprotect_budget = read_budget();
  std::size_t done = 0;
  while (done < n && mprotected < mprotect_budget && ::mprotect(first + done * stride, bytes, PROT_NONE) == 0) {
    ++done;
    ++mprotected;
  }
  return done;
}

}  // namespace

std::size_t install(std::byte* first, std::size_t stride, std::size_t n) noexcept {
  std::size_t done = 0;
  if (current.load(mo::relaxed) == guard_kind::guard_region) {
    done = install_regions(first, stride, n);
    if (done < n) current.store(guard_kind::mprotect_pages, mo::relaxed);
  }
  if (done < n && current.load(mo::relaxed) == guard_kind::mprotect_pages) {
    done += install_mprotect(first + done * stride, stride, n - done);
    if (done < n) current.store(guard_kind::none, mo::relaxed);
  }
  if (done < n) {
    unguarded.fetch_add(n - done, mo::relaxed);
    if (!warned) {
      warned = true;
      warn("stacks from here on have no guard: the kernel has no guard regions, and %llu mappings are used for guards "
           "(raise vm.max_map_count)",
           static_cast<unsigned long long>(2 * mprotected));
    }
  }
  return done;
}

guard_kind kind() noexcept { return current.load(mo::relaxed); }
std::uint64_t failures() noexcept { return unguarded.load(mo::relaxed); }

void set_for_test(guard_kind kind, std::uint64_t budget) noexcept {
  current.store(kind, mo::relaxed);
  mprotect_budget = budget;
  mprotected = 0;
  warned = false;
}

}  // namespace baton::sched::stack_guard
