// The number of CPUs: cgroup quotas in made-up file trees, and a process in a real group.
#include "on_fiber.h"

#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/cpus.h>

#include <gtest/gtest.h>

#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace {

namespace fs = std::filesystem;
using namespace baton::sched;
using platform::affinity_cpus;
using platform::cpu_quotas;
using platform::cpu_watch;

// A directory that stands for /.
class tree {
 public:
  tree() {
    std::string name = (fs::temp_directory_path() / "baton-cpus-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    root_ = name;
  }
  ~tree() { fs::remove_all(root_); }
  tree(const tree&) = delete;
  tree& operator=(const tree&) = delete;

  tree& file(const std::string& path, const std::string& content) {
    const fs::path p = root_ + path;
    fs::create_directories(p.parent_path());
    std::ofstream(p) << content;
    return *this;
  }
  tree& mountinfo(const std::string& content) { return file("/proc/self/mountinfo", content); }
  tree& cgroup(const std::string& content) { return file("/proc/self/cgroup", content); }
  tree& v2(const std::string& dir, const std::string& content) { return file(dir + "/cpu.max", content + "\n"); }
  tree& v1(const std::string& dir, const std::string& quota, const std::string& period) {
    file(dir + "/cpu.cfs_quota_us", quota + "\n");
    return file(dir + "/cpu.cfs_period_us", period + "\n");
  }

  [[nodiscard]] const char* root() const { return root_.c_str(); }
  [[nodiscard]] int cpus() const { return cpu_quotas(root()).read().cpus; }

 private:
  std::string root_;
};

constexpr char only_v2[] =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "31 27 0:28 / /sys/fs/cgroup rw,nosuid shared:9 master:3 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(CgroupV2, AQuotaIsRoundedUp) {
  const std::pair<const char*, int> quotas[] = {
      {"100000 100000", 1}, {"50000 100000", 1},  {"1000 1000000", 1},    {"150000 100000", 2},
      {"200000 100000", 2}, {"200001 100000", 3}, {"1600000 100000", 16}, {"max 100000", cpu_quotas::none},
      {"3000 1000", 3},
  };
  for (const auto& [text, cpus] : quotas) {
    tree t;
    t.mountinfo(only_v2).cgroup("0::/app\n").v2("/sys/fs/cgroup/app", text);
    EXPECT_EQ(cpus, t.cpus()) << text;
  }
}

TEST(CgroupV2, GroupsAboveCount) {
  tree t;
  t.mountinfo(only_v2).cgroup("0::/pods/pod1/app\n");
  t.v2("/sys/fs/cgroup/pods/pod1/app", "max 100000");
  EXPECT_EQ(cpu_quotas::none, t.cpus());
  t.v2("/sys/fs/cgroup/pods", "700000 100000");
  EXPECT_EQ(7, t.cpus());
  t.v2("/sys/fs/cgroup/pods/pod1", "300000 100000");
  EXPECT_EQ(3, t.cpus());
  t.v2("/sys/fs/cgroup/pods/pod1/app", "500000 100000");
  EXPECT_EQ(3, t.cpus());
  t.v2("/sys/fs/cgroup/pods/pod2", "100000 100000");  // another group's
  EXPECT_EQ(3, t.cpus());
}

TEST(CgroupV2, InAContainerTheMountPointIsItsOwnGroup) {
  tree t;
  t.mountinfo(only_v2).cgroup("0::/\n").v2("/sys/fs/cgroup", "250000 100000");
  EXPECT_EQ(3, t.cpus());
}

TEST(CgroupV2, TheMountMayShowOnlyAPartOfTheHierarchy) {
  tree t;
  t.mountinfo("31 27 0:28 /docker/abc /cg rw - cgroup2 cgroup2 rw\n").cgroup("0::/docker/abc/x\n");
  t.v2("/cg/x", "400000 100000").v2("/cg/docker/abc/x", "100000 100000");
  EXPECT_EQ(4, t.cpus());
  t.v2("/cg", "200000 100000");
  EXPECT_EQ(2, t.cpus());
}

TEST(CgroupV2, AGroupThatOnlyBeginsLikeTheMountsRootIsAnother) {
  tree t;
  t.mountinfo("31 27 0:28 /docker/a /cg rw - cgroup2 cgroup2 rw\n").cgroup("0::/docker/abc\n");
  t.v2("/cg", "100000 100000").v2("/cgbc", "100000 100000").v2("/cg/bc", "100000 100000");
  EXPECT_EQ(cpu_quotas::none, t.cpus());
}

TEST(CgroupV2, NamesWithSpacesBackslashesAndColons) {
  tree t;
  t.mountinfo("31 27 0:28 /my\\040pods /sys/fs/c\\040g\\134roup rw - cgroup2 cgroup2 rw\n");
  t.cgroup("0::/my pods/a:b c\n").v2("/sys/fs/c g\\roup/a:b c", "500000 100000");
  EXPECT_EQ(5, t.cpus());
}

TEST(CgroupV2, ADeletedGroupStillHasThoseAbove) {
  tree t;
  t.mountinfo(only_v2).cgroup("0::/a/b (deleted)\n").v2("/sys/fs/cgroup/a", "200000 100000");
  EXPECT_EQ(2, t.cpus());
}

TEST(CgroupNamespace, AGroupOutsideOfTheNamespaceIsNotBelowItsMount) {
  tree t;
  t.mountinfo(only_v2).cgroup("0::/../sibling\n");
  t.v2("/sys/fs/cgroup", "100000 100000").v2("/sys/fs/sibling", "100000 100000");
  EXPECT_EQ(cpu_quotas::none, t.cpus());
}

TEST(CgroupNamespace, AMountFromOutsideShowsGroupsAbove) {
  const auto above = [](const std::string& root, const std::string& group) {
    tree t;
    t.mountinfo("31 27 0:28 " + root + " /cg rw - cgroup2 cgroup2 rw\n").cgroup("0::" + group + "\n");
    t.v2("/cg", "400000 100000").v2("/cg/y", "300000 100000").v2("/cg/y/z", "200000 100000");
    return t.cpus();
  };
  EXPECT_EQ(2, above("/..", "/../y/z"));
  EXPECT_EQ(3, above("/..", "/../y"));
  EXPECT_EQ(3, above("/../a", "/../a/y/..x"));  // a name that begins with dots
  EXPECT_EQ(4, above("/..", "/"));              // the group's own name is unknown
  EXPECT_EQ(4, above("/../..", "/y"));
  EXPECT_EQ(4, above("/../..", "/../y"));
  EXPECT_EQ(cpu_quotas::none, above("/../a", "/"));
  EXPECT_EQ(cpu_quotas::none, above("/../a", "/../b"));
  EXPECT_EQ(cpu_quotas::none, above("/..", "/../../b"));
}

constexpr char only_v1[] =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";

TEST(CgroupV1, ReadsTheHierarchyThatHasCpu) {
  tree t;
  t.mountinfo(only_v1).cgroup("9:name=systemd:/s\n3:cpuset:/s\n2:cpu,cpuacct:/a/b\n0::/\n");
  t.v1("/sys/fs/cgroup/cpu,cpuacct/a/b", "-1", "100000");
  t.v1("/sys/fs/cgroup/cpuset/s", "100000", "100000").v1("/sys/fs/cgroup/systemd/s", "100000", "100000");
  EXPECT_EQ(cpu_quotas::none, t.cpus());
  t.v1("/sys/fs/cgroup/cpu,cpuacct", "950000", "100000");
  EXPECT_EQ(10, t.cpus());
  t.v1("/sys/fs/cgroup/cpu,cpuacct/a", "75000", "25000");
  EXPECT_EQ(3, t.cpus());
  t.v1("/sys/fs/cgroup/cpu,cpuacct/a/b", "120000", "100000");
  EXPECT_EQ(2, t.cpus());
}

TEST(CgroupV1, WithoutAPeriodThereIsNoQuota) {
  tree t;
  t.mountinfo(only_v1).cgroup("2:cpu,cpuacct:/\n");
  t.file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(cpu_quotas::none, t.cpus());
}

TEST(CgroupHybrid, TheSmallerOfBothCounts) {
  tree t;
  t.mountinfo(std::string(only_v1) + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  t.cgroup("2:cpu,cpuacct:/a\n0::/u\n").v1("/sys/fs/cgroup/cpu,cpuacct/a", "400000", "100000");
  EXPECT_EQ(4, t.cpus());
  t.v2("/sys/fs/cgroup/unified/u", "200000 100000");
  EXPECT_EQ(2, t.cpus());
  t.v1("/sys/fs/cgroup/cpu,cpuacct/a", "100000", "100000");
  EXPECT_EQ(1, t.cpus());
}

TEST(CgroupMounts, WhatIsCoveredIsNotSeen) {
  tree t;
  t.cgroup("0::/a\n").v2("/cg", "100000 100000").v2("/cg/a", "200000 100000");
  t.mountinfo("31 27 0:28 /a /cg rw - cgroup2 cgroup2 rw\n32 31 0:28 / /cg rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(1, t.cpus());
  t.mountinfo("31 27 0:28 / /cg rw - cgroup2 cgroup2 rw\n32 31 0:50 / /cg rw - tmpfs tmpfs rw\n");
  EXPECT_EQ(cpu_quotas::none, t.cpus());
  t.mountinfo("32 31 0:28 / /cg rw - cgroup2 cgroup2 rw\n31 27 0:50 / /cg rw - tmpfs tmpfs rw\n");
  EXPECT_EQ(1, t.cpus());
}

TEST(CgroupMounts, OfManyAndVeryLongLines) {
  tree t;
  std::string all;
  for (int i = 100; i < 1100; ++i) {
    const std::string n = std::to_string(i);
    all += n + " 27 0:" + n + " / /var/lib/containers/" + n +
           " rw - overlay overlay rw,lowerdir=" + std::string(static_cast<std::size_t>(i) * 9, 'x') + "\n";
  }
  t.mountinfo(all + only_v2 + all).cgroup("0::/a\n").v2("/sys/fs/cgroup/a", "200000 100000");
  EXPECT_EQ(2, t.cpus());
}

TEST(CgroupMalformed, CountsAsNoQuota) {
  for (const char* const text :
       {"", "max", "max\n", "100000", "100000 0", "0 100000", "-1 100000", "1e5 100000", "100000 100000 x",
        "100000\t100000", "half of it", " 100000 100000", "100000  100000"}) {
    tree t;
    t.mountinfo(only_v2).cgroup("0::/a\n").v2("/sys/fs/cgroup/a", text).v2("/sys/fs/cgroup", "300000 100000");
    EXPECT_EQ(3, t.cpus()) << '"' << text << '"';
  }
  tree t;
  t.mountinfo(only_v2).cgroup("0::/a\n").v2("/sys/fs/cgroup/a", "99999999999999999999999999 1");
  EXPECT_EQ(cpu_quotas::none, t.cpus());
}

TEST(CgroupMalformed, FilesInProc) {
  for (const char* const mounts : {"", "\n\n", "31\n", "x y z", "31 27 0:28 / /cg rw\n", "31 27 0:28 / /cg rw -\n",
                                   "31 27 0:28 / /cg rw - cgroup2", "31 27 0:28 relative /cg rw - cgroup2 c rw\n"}) {
    for (const char* const groups : {"", "\n", "0", "0:", "0::", "0::a\n", "2:cpu", ":::::\n", "0::/ok"}) {
      tree t;
      t.mountinfo(mounts).cgroup(groups);
      EXPECT_EQ(cpu_quotas::none, t.cpus()) << mounts << groups;
    }
  }
}

TEST(CgroupMissing, NothingThereIsNoQuota) {
  tree t;
  EXPECT_EQ(cpu_quotas::none, t.cpus());
  EXPECT_TRUE(cpu_quotas(t.root()).read().complete);
  t.mountinfo(only_v2);
  EXPECT_EQ(cpu_quotas::none, t.cpus());
  t.cgroup("0::/a\n");
  EXPECT_EQ(cpu_quotas::none, t.cpus());
  fs::create_directories(std::string(t.root()) + "/sys/fs/cgroup/a/cpu.max");  // not a file
  EXPECT_EQ(cpu_quotas::none, t.cpus());
}

TEST(CpuWatch, NeverSaysMoreThanTheAffinityMask) {
  tree t;
  t.mountinfo(only_v2).cgroup("0::/\n").v2("/sys/fs/cgroup", "999900000 100000");
  EXPECT_EQ(affinity_cpus(), cpu_watch(t.root()).at(1));
  cpu_set_t set;
  ASSERT_EQ(0, ::sched_getaffinity(0, sizeof set, &set));
  EXPECT_EQ(CPU_COUNT(&set), affinity_cpus());
}

TEST(CpuWatch, FollowsTheAffinityMaskOfItsThread) {
  if (affinity_cpus() < 2) GTEST_SKIP() << "one CPU only";
  int pinned = 0;
  std::thread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(::sched_getcpu(), &one);
    EXPECT_EQ(0, ::sched_setaffinity(0, sizeof one, &one));
    pinned = affinity_cpus();
  }).join();
  EXPECT_EQ(1, pinned);
}

TEST(CpuWatch, ReadsAgainAfterASecond) {
  if (affinity_cpus() < 2) GTEST_SKIP() << "one CPU only";
  tree t;
  t.mountinfo(only_v2).cgroup("0::/a\n").v2("/sys/fs/cgroup/a", "100000 100000").v2("/sys/fs/cgroup/b", "max 1");
  cpu_watch w(t.root());
  constexpr std::int64_t begin = 5'000'000'000;
  EXPECT_EQ(1, w.at(begin));
  t.v2("/sys/fs/cgroup/a", "200000 100000");
  EXPECT_EQ(1, w.at(begin + cpu_watch::reread_after_ns - 1));
  EXPECT_EQ(2, w.at(begin + cpu_watch::reread_after_ns));
  t.v2("/sys/fs/cgroup/a", "100000 100000");
  EXPECT_EQ(2, w.at(begin + 2 * cpu_watch::reread_after_ns - 1));
  EXPECT_EQ(1, w.at(begin + 2 * cpu_watch::reread_after_ns));
  t.cgroup("0::/b\n");  // the process is moved to another group
  EXPECT_EQ(affinity_cpus(), w.at(begin + 3 * cpu_watch::reread_after_ns));
}

TEST(CpuWatch, RunningOutOfDescriptorsChangesNothing) {
  if (affinity_cpus() < 2) GTEST_SKIP() << "one CPU only";
  tree t;
  t.mountinfo(only_v2).cgroup("0::/\n").v2("/sys/fs/cgroup", "100000 100000");
  cpu_watch w(t.root());
  EXPECT_EQ(1, w.at(1));
  rlimit before;
  ASSERT_EQ(0, ::getrlimit(RLIMIT_NOFILE, &before));
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(0, ::setrlimit(RLIMIT_NOFILE, &none));
  const int meanwhile = w.at(1 + cpu_watch::reread_after_ns);
  ASSERT_EQ(0, ::setrlimit(RLIMIT_NOFILE, &before));
  EXPECT_EQ(1, meanwhile);
  t.v2("/sys/fs/cgroup", "max 100000");
  EXPECT_EQ(affinity_cpus(), w.at(1 + 2 * cpu_watch::reread_after_ns));
}

// A group of the real cgroup v1 cpu hierarchy, where this process may make one. The child of a death test runs the
// test's body, too: it uses the group that its parent has made.
class real_group {
 public:
  real_group() {
    if (const char* const made = std::getenv("BATON_TEST_CGROUP")) {
      dir_ = made;
      return;
    }
    const std::string wanted = "/sys/fs/cgroup/cpu/baton-cpus-test-" + std::to_string(::getpid());
    if (::mkdir(wanted.c_str(), 0755) != 0) return;
    dir_ = wanted;
    mine_ = true;
    ::setenv("BATON_TEST_CGROUP", wanted.c_str(), 1);
    if (::access((dir_ + "/cpu.cfs_quota_us").c_str(), W_OK) != 0) remove();  // a plain directory
  }
  ~real_group() {
    if (mine_) remove();
  }
  real_group(const real_group&) = delete;
  real_group& operator=(const real_group&) = delete;

  explicit operator bool() const { return !dir_.empty(); }
  [[nodiscard]] bool set_quota_us(int quota) const { return write("cpu.cfs_quota_us", quota); }
  [[nodiscard]] bool join() const { return write("cgroup.procs", ::getpid()); }

 private:
  [[nodiscard]] bool write(const char* file, int value) const {
    std::ofstream out(dir_ + "/" + file);
    out << value << std::flush;
    return out.good();
  }
  void remove() {
    ::unsetenv("BATON_TEST_CGROUP");
    // A process that has just ended may still be counted.
    for (int i = 0; ::rmdir(dir_.c_str()) != 0 && errno == EBUSY && i < 1000; ++i) std::this_thread::yield();
    dir_.clear();
    mine_ = false;
  }

  std::string dir_;
  bool mine_ = false;
};

// Keeps a P busy, except while it waits for other fibers.
class busy_fiber {
 public:
  busy_fiber()
      : fiber_(spawn_fiber_here([this] {
          while (!stop_.load()) yield();
        })) {}
  ~busy_fiber() {
    stop_.store(true);
    baton_test::join(fiber_);
  }
  busy_fiber(const busy_fiber&) = delete;
  busy_fiber& operator=(const busy_fiber&) = delete;

 private:
  template <class F>
  static fiber* spawn_fiber_here(F f) {
    return baton_test::spawn_fiber(std::move(f));
  }
  std::atomic<bool> stop_{false};
  fiber* fiber_;
};

bool procs_become(int n) {
  const std::int64_t until = platform::now_ns() + 20 * cpu_watch::reread_after_ns;
  while (procs() != n) {
    if (platform::now_ns() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(RealCgroupDeathTest, TheNumberOfPsFollowsTheQuota) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const real_group group;
  if (!group) GTEST_SKIP() << "no cgroup v1 cpu hierarchy that this process may change";
  if (affinity_cpus() < 2) GTEST_SKIP() << "one CPU only";
  EXPECT_EXIT(
      {
        ::unsetenv("BATON_PROCS");
        const auto require = [](bool what, int code) {
          if (!what) std::_Exit(code);
        };
        require(group.set_quota_us(100'000) && group.join(), 10);
        require(procs() == 1, 11);
        busy_fiber busy;
        require(group.set_quota_us(-1), 12);
        require(procs_become(affinity_cpus()), 13);
        require(group.set_quota_us(50'000), 14);
        require(procs_become(1), 15);
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(RealCgroupDeathTest, ANumberThatWasSetStays) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const real_group group;
  if (!group) GTEST_SKIP() << "no cgroup v1 cpu hierarchy that this process may change";
  if (affinity_cpus() < 2) GTEST_SKIP() << "one CPU only";
  EXPECT_EXIT(
      {
        ::unsetenv("BATON_PROCS");
        if (!group.set_quota_us(100'000) || !group.join() || set_procs(2) != 1) std::_Exit(10);
        busy_fiber busy;
        // Twice as long as it takes until the change is noticed.
        const std::int64_t until = platform::now_ns() + 2 * cpu_watch::reread_after_ns;
        while (platform::now_ns() < until) {
          if (procs() != 2) std::_Exit(11);
          std::this_thread::yield();
        }
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
