// While every thread is in a blocking call, and no other thread can be had, everything goes on each time that a call
// returns: timers, sockets, channels, new fibers, fibers that wait in place. If one of these starves, a wait of these
// tests never ends.
#include <baton/baton.h>

#include "../sched/doorbell.h"
#include "../sched/own_process.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using baton_test::eventually;
using namespace std::chrono_literals;

constexpr int rounds = 30;

// Fibers that make blocking calls, one after the other: more of them than there are threads.
class callers {
 public:
  enum kind { plain, pinned };
  void start(int n, kind k) {
    for (int i = 0; i < n; ++i) {
      baton::go([this, k] {
        while (!stop_) {
          if (k == pinned) {
            baton::pinned_blocking([] { ::usleep(2000); }, baton::will_block);
            baton::this_fiber::sleep_for(1ms);
          } else {
            baton::blocking([] { ::usleep(2000); }, baton::will_block);
          }
          ++calls_;
        }
      });
    }
  }
  [[nodiscard]] int calls() const { return calls_; }
  void stop() { stop_ = true; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> calls_{0};
};

// Each part counts up as long as it gets its turn.
struct progress {
  std::atomic<int> timers{0}, channels{0}, fibers{0}, sockets{0}, in_place{0};

  void start(bool with_in_place) {
    baton::go([this] {
      for (;;) {
        baton::this_fiber::sleep_for(1ms);
        ++timers;
        baton::go([this] { ++fibers; });
      }
    });
    const baton::channel<int> c;
    baton::go([c] {
      for (int i = 0;; ++i) static_cast<void>(c.send(i));
    });
    baton::go([this, c] {
      for (;;) {
        static_cast<void>(c.receive());
        ++channels;
        baton::this_fiber::sleep_for(1ms);
      }
    });
    start_echo();
    if (!with_in_place) return;
    // The fiber waits on its thread, for an event that another fiber sets.
    baton::go([this] {
      baton::event turn;
      baton::lock_os_thread();
      baton::go([&turn] {
        for (;;) {
          turn.set();
          baton::this_fiber::sleep_for(1ms);
        }
      });
      for (;;) {
        turn.wait();
        turn.reset();
        ++in_place;
      }
    });
  }

  // Starts a plain thread at the other end.
  void start_echo() {
    auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
    if (!listener.ok()) std::_Exit(2);
    const std::string address = listener->local_address().to_string();
    baton::go([this, l = std::move(*listener)]() mutable {
      auto s = l.accept();
      if (!s.ok()) std::_Exit(2);
      for (;;) {
        char byte = 0;
        const auto n = s->read(baton::bytes(&byte, 1));
        if (!n.ok() || *n == 0) std::_Exit(2);
        ++sockets;
        if (!s->write(baton::const_bytes(&byte, 1)).ok()) std::_Exit(2);
      }
    });
    peer_ = std::thread([address] {
      auto s = baton::net::dial(address);
      if (!s.ok()) std::_Exit(2);
      for (;;) {
        char byte = 1;
        if (!s->write(baton::const_bytes(&byte, 1)).ok()) std::_Exit(2);
        if (!s->read(baton::bytes(&byte, 1)).ok()) std::_Exit(2);
      }
    });
    peer_.detach();
  }

  using counts = std::array<int, 5>;
  [[nodiscard]] counts read() const { return {timers, channels, fibers, sockets, in_place}; }
  // Returns true if each part has counted at least n more than `from` says.
  [[nodiscard]] bool adds(int n, const counts& from, bool with_in_place) const {
    const counts now = read();
    for (std::size_t i = 0; i < now.size() - (with_in_place ? 0 : 1); ++i) {
      if (now[i] - from[i] < n) return false;
    }
    return true;
  }
  void print() const {
    std::fprintf(stderr, "timers %d, channels %d, fibers %d, sockets %d, in place %d\n", timers.load(), channels.load(),
                 fibers.load(), sockets.load(), in_place.load());
  }

 private:
  std::thread peer_;
};

// Called on a plain thread of a process that has just started the runtime; does not return. Checks that the parts count
// on while the callers make calls. It calls `refuse` before the callers start; no thread can be started after that.
template <class Refuse>
[[noreturn]] void expect_progress(callers::kind kind, bool with_in_place, Refuse refuse) {
  static callers all;
  static progress work;
  baton::spawn([&] { work.start(with_in_place); }).join();
  if (!eventually([&] { return work.adds(2, {}, with_in_place); })) std::_Exit(2);
  refuse();
  const int threads =
      baton::set_max_threads(0) < 10 ? baton::set_max_threads(0) : static_cast<int>(baton::stats().threads);
  baton::spawn([&] { all.start(threads + 2, kind); }).join();
  if (!eventually([&] { return all.calls() >= rounds; })) std::_Exit(3);
  const progress::counts before = work.read();  // a socket counts faster than a timer
  const bool ok = eventually([&] { return work.adds(rounds, before, with_in_place); });
  work.print();
  std::_Exit(ok ? 0 : 1);
}

// ---- at max_threads ----

class AtTheLimit : public testing::TestWithParam<std::tuple<int, int>> {
 protected:
  AtTheLimit() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  static void start() {
    baton::options o;
    o.procs = std::get<0>(GetParam());
    o.max_threads = std::get<1>(GetParam());
    baton::run([] {}, o);
  }
  static int threads() { return std::get<1>(GetParam()); }
};

TEST_P(AtTheLimit, AllGoesOn) {
  EXPECT_EXIT(
      {
        start();
        expect_progress(callers::plain, threads() > 1, [] {});
      },
      testing::ExitedWithCode(0), "all .* threads that max_threads allows are in use");
}

TEST_P(AtTheLimit, AllGoesOnBesidePinnedCalls) {
  EXPECT_EXIT(
      {
        start();
        expect_progress(callers::pinned, threads() > 1, [] {});
      },
      testing::ExitedWithCode(0), "");
}

// A P that becomes idle is handed to the fiber that has waited long for one on its thread.
TEST_P(AtTheLimit, AnIdlePGoesToAFiberThatWaitsInPlace) {
  EXPECT_EXIT(
      {
        start();
        baton::spawn([] {
          std::atomic<int> ended{0};
          baton::wait_group all;
          for (int i = 0; i < threads(); ++i) {
            all.add(2);
            baton::go([&] {
              for (int n = 0; n < 20; ++n) baton::pinned_blocking([] { ::usleep(200); }, baton::will_block);
              ++ended;
              all.done();
            });
            // It keeps the P until it blocks.
            baton::go([&] {
              for (int n = 0; n < 20; ++n) {
                const auto until = std::chrono::steady_clock::now() + 300us;
                while (std::chrono::steady_clock::now() < until) {
                }
                baton::blocking([] { ::usleep(200); }, baton::will_block);
              }
              all.done();
            });
          }
          all.wait();
        }).join();
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

// Locked fibers never use up the threads: the last one is left to those that they wait for.
TEST_P(AtTheLimit, LockedFibersLeaveAThread) {
  if (threads() == 1) GTEST_SKIP() << "with one thread there is none to leave";
  EXPECT_EXIT(
      {
        start();
        baton::spawn([] {
          baton::event go;
          baton::wait_group locked;
          baton::wait_group ended;
          const int n = threads() + 1;
          locked.add(n);
          ended.add(n);
          for (int i = 0; i < n; ++i) {
            baton::go([&] {
              baton::lock_os_thread();
              locked.done();
              go.wait();
              baton::unlock_os_thread();
              ended.done();
            });
          }
          if (locked.wait_for(20ms)) std::_Exit(2);  // too many for these threads
          go.set();
          locked.wait();
          ended.wait();
        }).join();
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

// ctest runs all tests once for each of several numbers of Ps, and sets BATON_PROCS: each run then uses only its
// number.
std::vector<int> numbers_of_ps() {
  if (const char* const number = std::getenv("BATON_PROCS")) return {std::atoi(number)};
  return {1, 2, 8};
}

INSTANTIATE_TEST_SUITE_P(Threads, AtTheLimit,
                         testing::Combine(testing::ValuesIn(numbers_of_ps()), testing::Values(1, 2, 3, 4)),
                         [](const auto& which) {
                           return std::to_string(std::get<1>(which.param)) + "_threads_" +
                                  std::to_string(std::get<0>(which.param)) + "_procs";
                         });

// A locked fiber that ends takes its thread along. Another thread is started for the fiber that waits to be locked.
TEST(LockedThreads, ThoseThatEndMakeRoom) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        baton::options o;
        o.procs = 2;
        o.max_threads = 3;
        baton::run(
            [] {
              baton::wait_group all;
              all.add(50);
              for (int i = 0; i < 50; ++i) {
                baton::go([&] {
                  baton::lock_os_thread();
                  baton::this_fiber::sleep_for(1ms);
                  all.done();
                });
              }
              all.wait();
            },
            o);
        std::_Exit(baton::stats().threads <= 3 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

// ---- refused by the system ----

class Refused : public testing::TestWithParam<int> {
 protected:
  Refused() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  static void start() {
    baton::options o;
    o.procs = GetParam();
    baton::run([] {}, o);
  }
};

// Limits the threads and processes of this process's user, which has no other process. Returns the former limit.
rlim_t refuse_by_rlimit(rlim_t most = 0) {
  if (::geteuid() == 0) {
    const auto nobody_else = static_cast<uid_t>(700'000 + ::getpid());
    if (::setresuid(nobody_else, nobody_else, nobody_else) != 0) std::_Exit(3);
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NPROC, &limit) != 0) std::_Exit(3);
  const rlim_t before = std::exchange(limit.rlim_cur, most);
  if (::setrlimit(RLIMIT_NPROC, &limit) != 0) std::_Exit(3);
  return before;
}

TEST_P(Refused, ByRlimitAllGoesOn) {
  EXPECT_EXIT(
      {
        start();
        expect_progress(callers::plain, true, [] { refuse_by_rlimit(); });
      },
      testing::ExitedWithCode(0), "cannot start a thread beside the");
}

// A fiber that waits for one more thread to be locked to gets it even if no other work wants a thread.
TEST_P(Refused, AThreadToLockComesWhenItCanBeHad) {
  EXPECT_EXIT(
      {
        start();
        static baton::event go;
        static baton::wait_group locked;
        static baton::wait_group ended;
        const rlim_t before = refuse_by_rlimit();
        const int n = static_cast<int>(baton::stats().threads) + GetParam() + 2;
        locked.add(n);
        ended.add(n);
        for (int i = 0; i < n; ++i) {
          baton::go([] {
            baton::lock_os_thread();
            locked.done();
            go.wait();
            baton::unlock_os_thread();
            ended.done();
          });
        }
        if (!eventually([] { return baton::stats().thread_failures > 0; })) std::_Exit(2);
        refuse_by_rlimit(before);
        if (!locked.wait_for(20s)) std::_Exit(1);
        go.set();
        ended.wait();
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

// A group of its own in the cgroup hierarchy that counts processes, version 1 or 2.
class pids_group {
 public:
  pids_group() {
    for (const char* root : {"/sys/fs/cgroup/pids", "/sys/fs/cgroup"}) {
      path_ = std::string(root) + "/baton-test-" + std::to_string(::getpid());
      if (::mkdir(path_.c_str(), 0755) != 0) {
        why_ = path_ + ": " + std::strerror(errno);
        continue;
      }
      if (::access((path_ + "/pids.max").c_str(), W_OK) == 0) return;
      why_ = path_ + " has no pids.max";
      ::rmdir(path_.c_str());
    }
    path_.clear();
  }
  ~pids_group() {
    if (!path_.empty()) eventually([this] { return ::rmdir(path_.c_str()) == 0 || errno != EBUSY; });
  }
  pids_group(const pids_group&) = delete;
  pids_group& operator=(const pids_group&) = delete;
  [[nodiscard]] bool made() const { return !path_.empty(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& why() const { return why_; }

 private:
  std::string path_;
  std::string why_;
};

// Moves the calling process into the group; it gets no more threads.
void refuse_by(const std::string& group) {
  std::ofstream(group + "/cgroup.procs") << ::getpid() << std::flush;
  std::ofstream max(group + "/pids.max");
  max << 1 << std::flush;
  if (!max) std::_Exit(3);
}

TEST_P(Refused, ByAPidsGroupAllGoesOn) {
  const char* const told = std::getenv("BATON_TEST_PIDS_GROUP");  // in the process that the death test starts
  std::optional<pids_group> group;
  if (told == nullptr) {
    group.emplace();
    if (!group->made()) GTEST_SKIP() << "no group that counts processes can be made: " << group->why();
    ::setenv("BATON_TEST_PIDS_GROUP", group->path().c_str(), 1);
  }
  EXPECT_EXIT(
      {
        start();
        expect_progress(callers::plain, true, [] { refuse_by(std::getenv("BATON_TEST_PIDS_GROUP")); });
      },
      testing::ExitedWithCode(0), "cannot start a thread beside the");
  if (told == nullptr) ::unsetenv("BATON_TEST_PIDS_GROUP");
}

INSTANTIATE_TEST_SUITE_P(Threads, Refused, testing::ValuesIn(numbers_of_ps()),
                         [](const auto& which) { return std::to_string(which.param) + "_procs"; });

}  // namespace
