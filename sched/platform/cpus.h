// How many CPUs this process may use: those in its affinity mask (which cpusets narrow), or fewer if a cgroup limits
// its CPU time.
//
// A quota counts wherever it is set: on the group of the process or on any group above it, in cgroup v2 (cpu.max) and
// in v1 (cpu.cfs_quota_us / cpu.cfs_period_us), also where both are mounted. The smallest wins. It is rounded up and is
// at least 1: a quota of half a CPU counts as 1, one of one and a half as 2. Go rounds up, too, but never below 2,
// because it wants a P for its garbage collector beside the program's. Baton has no garbage collector. Under a quota of
// one CPU a second P would use up the period's share in half of the period, and the kernel would then stop all threads
// until the next period.
//
// Nothing here allocates: the monitor calls it. Reading the quotas again takes 20 us beside ten v1 hierarchies, and 8
// us more for each group above (Linux 6.18, 2.5 GHz AMD EPYC). A call between two readings takes 1 ns.
#pragma once

#include <climits>
#include <cstdint>
#include <string_view>

namespace baton::sched::platform {

// Returns the number of CPUs in the calling thread's affinity mask, at least 1. Threads that it starts inherit the
// mask.
[[nodiscard]] int affinity_cpus() noexcept;

// The quotas of this process. Not thread safe: one thread at a time.
class cpu_quotas {
 public:
  static constexpr int none = INT_MAX;

  struct reading {
    int cpus = none;       // the smallest quota, rounded up
    bool complete = true;  // false: something could not be read for lack of descriptors or memory
  };

  // Tests set `root`: it precedes every path that is opened. It must outlive the object.
  constexpr explicit cpu_quotas(const char* root = "") noexcept : root_(root) {}

  // Reads the quotas. A malformed quota, or one that may not be read, counts as no quota. The process may have moved to
  // another group since the last call. The mounts are looked up only once.
  [[nodiscard]] reading read() noexcept;

 private:
  static constexpr int mounts_max = 8;           // one or two in practice; of more, the first ones count
  static constexpr std::size_t path_max = 1024;  // groups of containers in containers have some 500 bytes

  struct text {
    std::size_t size = 0;
    char bytes[path_max] = {};
    [[nodiscard]] std::string_view view() const noexcept { return {bytes, size}; }
  };
  struct mount {
    bool v2 = false;
    std::uint64_t id = 0;
    std::uint64_t parent = 0;
    text point;
    text root;  // the group that the mount shows at `point`
  };

  [[nodiscard]] bool find_mounts() noexcept;
  void take_mount(std::string_view line) noexcept;
  void read_upwards(const mount& m, std::string_view group, reading& r) const noexcept;

  const char* root_;
  bool mounts_known_ = false;
  int mount_count_ = 0;
  mount mounts_[mounts_max];
};

// Affinity and quotas together, for a caller that follows their changes. Not thread safe: one thread at a time.
class cpu_watch {
 public:
  static constexpr std::int64_t reread_after_ns = 1'000'000'000;

  constexpr explicit cpu_watch(const char* root = "") noexcept : quotas_(root) {}

  // Returns the number of CPUs, at least 1. Reads affinity and quotas at most once a second; in between, and if they
  // cannot be read, returns the number found before. now_ns: of CLOCK_MONOTONIC.
  [[nodiscard]] int at(std::int64_t now_ns) noexcept {
    if (__builtin_expect(count_ == 0 || now_ns - looked_at_ns_ >= reread_after_ns, 0)) look(now_ns);
    return count_;
  }

 private:
  void look(std::int64_t now_ns) noexcept;

  cpu_quotas quotas_;
  int count_ = 0;  // 0: not read yet
  std::int64_t looked_at_ns_ = 0;
};

}  // namespace baton::sched::platform
