#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

class FiberDeathTest : public testing::Test {
 protected:
  FiberDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// Counts its living instances.
struct counted {
  explicit counted(int v) : value(v) { ++alive; }
  counted(const counted& o) : value(o.value) { ++alive; }
  counted(counted&& o) noexcept : value(o.value) { ++alive; }
  counted& operator=(const counted&) = default;
  ~counted() { --alive; }
  int value;
  static inline std::atomic<int> alive{0};
};

TEST(Fiber, JoinReturnsTheResult) {
  baton::run([] {
    EXPECT_EQ(42, baton::spawn([] { return 42; }).join());
    EXPECT_EQ("a text longer than the small string buffer",
              baton::spawn([] { return std::string("a text longer than the small string buffer"); }).join());
    bool ran = false;
    baton::spawn([&] { ran = true; }).join();
    EXPECT_TRUE(ran);
  });
}

TEST(Fiber, JoinsWhetherItEndedBeforeOrNot) {
  baton::run([] {
    baton::event go_on;
    auto late = baton::spawn([&] {
      go_on.wait();
      return 1;
    });
    baton::event ended;
    auto early = baton::spawn([&] {
      ended.set();
      return 2;
    });
    ended.wait();
    for (int i = 0; i < 10; ++i) baton::this_fiber::yield();
    EXPECT_EQ(2, early.join());
    auto setter = baton::spawn([&] { go_on.set(); });
    EXPECT_EQ(1, late.join());
    setter.join();
  });
}

TEST(Fiber, JoinRethrows) {
  baton::run([] {
    auto f = baton::spawn([]() -> int { throw std::out_of_range("17"); });
    try {
      f.join();
      FAIL() << "nothing was thrown";
    } catch (const std::out_of_range& e) {
      EXPECT_STREQ("17", e.what());
    }
    EXPECT_FALSE(f.joinable());
    auto g = baton::spawn([] { throw 5; });
    EXPECT_THROW(g.join(), int);
  });
}

TEST(Fiber, ResultsMayBeReferences) {
  baton::run([] {
    int x = 1;
    int& r = baton::spawn([&]() -> int& { return x; }).join();
    EXPECT_EQ(&x, &r);
    const std::string s = "s";
    const std::string& t = baton::spawn([&]() -> const std::string& { return s; }).join();
    EXPECT_EQ(&s, &t);
    auto p = std::make_unique<int>(7);
    auto f = baton::spawn([&]() -> std::unique_ptr<int>&& { return std::move(p); });
    static_assert(std::is_same_v<decltype(f), baton::fiber<std::unique_ptr<int>&&>>);
    const std::unique_ptr<int> q = f.join();
    EXPECT_EQ(7, *q);
    EXPECT_EQ(nullptr, p);
  });
}

TEST(Fiber, ResultsMayBeMoveOnly) {
  baton::run([] {
    auto f = baton::spawn([] { return std::make_unique<int>(9); });
    EXPECT_EQ(9, *f.join());
    EXPECT_EQ(3, *baton::spawn([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(3)).join());
  });
}

TEST(Fiber, ResultsMayBeLargeOrOverAligned) {
  struct large {
    std::array<int, 1000> values;
    std::string text;
  };
  struct alignas(256) aligned {
    int value = 0;
  };
  baton::run([] {
    auto f = baton::spawn([] {
      large l{};
      for (std::size_t i = 0; i < l.values.size(); ++i) l.values[i] = static_cast<int>(i);
      l.text = std::string(100, 'x');
      return l;
    });
    const large l = f.join();
    for (std::size_t i = 0; i < l.values.size(); ++i) ASSERT_EQ(static_cast<int>(i), l.values[i]);
    EXPECT_EQ(std::string(100, 'x'), l.text);
    const aligned a = baton::spawn([] { return aligned{5}; }).join();
    EXPECT_EQ(5, a.value);
    auto thrower = baton::spawn([]() -> large { throw std::runtime_error("no large"); });
    EXPECT_THROW(static_cast<void>(thrower.join()), std::runtime_error);
  });
}

TEST(Fiber, ClosuresMayBeOverAlignedAndLarge) {
  struct alignas(256) aligned {
    char bytes[256];
  };
  baton::run([] {
    aligned a{};
    a.bytes[255] = 'z';
    EXPECT_TRUE(
        baton::spawn([a] { return reinterpret_cast<std::uintptr_t>(&a) % 256 == 0 && a.bytes[255] == 'z'; }).join());
    std::array<char, 100'000> big{};
    big.back() = 'b';
    EXPECT_EQ('b', baton::spawn([big] { return big.back(); }).join());
  });
}

TEST(Fiber, EveryResultIsDestroyedOnce) {
  baton::run([] {
    const int before = counted::alive;
    EXPECT_EQ(4, baton::spawn([] { return counted(4); }).join().value);
    {
      auto dropped = baton::spawn([] { return counted(5); });
    }
    {
      auto moved_to = baton::spawn([] { return counted(6); });
      moved_to = baton::spawn([] { return counted(7); });
      EXPECT_EQ(7, moved_to.join().value);
    }
    {
      struct large {
        counted c{8};
        char more[500] = {};
      };
      auto boxed = baton::spawn([] { return large(); });
    }
    EXPECT_EQ(before, counted::alive);
  });
}

TEST(Fiber, DetachedResultsAreDestroyedWhereTheFiberEnds) {
  baton::run([] {
    const int before = counted::alive;
    for (const bool ended_first : {false, true}) {
      baton::event go_on;
      baton::event ended;
      auto f = baton::spawn([&] {
        go_on.wait();
        ended.set();
        return counted(1);
      });
      if (ended_first) {
        go_on.set();
        ended.wait();
        // The fiber's last steps may still be under way; the test must pass in either order.
        for (int i = 0; i < 100; ++i) baton::this_fiber::yield();
      }
      f.detach();
      EXPECT_FALSE(f.joinable());
      EXPECT_FALSE(f.id());
      go_on.set();
      ended.wait();
    }
    while (counted::alive != before) baton::this_fiber::yield();
  });
}

TEST(Fiber, DestructorAndMoveAssignmentJoin) {
  baton::run([] {
    int done = 0;
    {
      auto f = baton::spawn([&] {
        for (int i = 0; i < 10; ++i) baton::this_fiber::yield();
        ++done;
      });
    }
    EXPECT_EQ(1, done);
    auto f = baton::spawn([&] {
      for (int i = 0; i < 10; ++i) baton::this_fiber::yield();
      ++done;
    });
    f = baton::spawn([] {});
    EXPECT_EQ(2, done);
    f = {};
    EXPECT_FALSE(f.joinable());
  });
}

TEST(Fiber, HandlesMove) {
  baton::run([] {
    auto a = baton::spawn([] { return 1; });
    const baton::fiber_id id = a.id();
    EXPECT_TRUE(id);
    baton::fiber<int> b = std::move(a);
    EXPECT_FALSE(a.joinable());
    EXPECT_TRUE(b.joinable());
    EXPECT_EQ(id, b.id());
    auto c = baton::spawn([] { return 2; });
    swap(b, c);
    EXPECT_EQ(1, c.join());
    EXPECT_EQ(2, b.join());
    EXPECT_FALSE(baton::fiber<void>().joinable());
  });
  static_assert(!std::is_copy_constructible_v<baton::fiber<int>>);
  static_assert(std::is_nothrow_move_constructible_v<baton::fiber<int>>);
  static_assert(std::is_nothrow_move_assignable_v<baton::fiber<int>>);
}

int add(int a, int b) { return a + b; }

TEST(Fiber, ArgumentsAreDecayCopied) {
  baton::run([] {
    EXPECT_EQ(3, baton::spawn(add, 1, 2).join());

    std::string text = "before";
    auto copy = baton::spawn([](std::string s) { return s; }, text);
    text = "after";
    EXPECT_EQ("before", copy.join());

    char array[] = "array";
    auto decayed = baton::spawn([](auto p) { return std::is_same_v<decltype(p), char*>; }, array);
    EXPECT_TRUE(decayed.join());

    int x = 1;
    baton::spawn([](int& r) { r = 2; }, std::ref(x)).join();
    EXPECT_EQ(2, x);

    struct object {
      int twice(int by) { return 2 * value * by; }
      int value;
    } o{4};
    EXPECT_EQ(24, baton::spawn(&object::twice, &o, 3).join());
    EXPECT_EQ(24, baton::spawn(&object::twice, o, 3).join());
    EXPECT_EQ(4, baton::spawn(&object::value, &o).join());
  });
}

struct rvalue_only {
  int operator()() && { return 1; }
  int operator()() & = delete;
};

TEST(Fiber, FunctionsAndArgumentsAreCalledAsRvalues) {
  baton::run([] {
    EXPECT_EQ(1, baton::spawn(rvalue_only()).join());
    rvalue_only named;
    EXPECT_EQ(1, baton::spawn(named).join());
    EXPECT_TRUE(baton::spawn([](std::string&&) { return true; }, "text").join());
    // The closure is never copied.
    auto p = std::make_unique<int>(5);
    EXPECT_EQ(5, baton::spawn([q = std::move(p)]() mutable { return *q; }).join());
  });
}

TEST(Fiber, ClosuresDieBeforeJoinReturns) {
  baton::run([] {
    auto alive = std::make_shared<int>(1);
    for (int i = 0; i < 1000; ++i) {
      auto f = baton::spawn([alive] {});
      f.join();
      ASSERT_EQ(1, alive.use_count());
    }
  });
}

struct throws_when_copied {
  throws_when_copied() = default;
  throws_when_copied(const throws_when_copied&) { throw std::runtime_error("no copy"); }
  void operator()() const {}
};

TEST(Fiber, WhatCopyingThrowsLeavesGoAndSpawn) {
  baton::run([] {
    const throws_when_copied f;
    for (int i = 0; i < 1000; ++i) {
      EXPECT_THROW(baton::go(f), std::runtime_error);
      EXPECT_THROW(static_cast<void>(baton::spawn(f)), std::runtime_error);
      EXPECT_THROW(baton::go([](throws_when_copied) {}, f), std::runtime_error);
    }
    EXPECT_EQ(1, baton::spawn([] { return 1; }).join());
  });
}

TEST(Fiber, PlainThreadsSpawnAndJoin) {
  EXPECT_EQ(3, baton::spawn(add, 1, 2).join());
  std::vector<baton::fiber<int>> many;
  for (int i = 0; i < 100; ++i) many.push_back(baton::spawn([i] { return i; }));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(i, many[static_cast<std::size_t>(i)].join());
  baton::event done;
  baton::go([&] { done.set(); });
  done.wait();
}

TEST(Fiber, HandlesPassBetweenThreadsAndFibers) {
  auto f = baton::spawn([] { return baton::spawn([] { return 8; }); });
  auto inner = f.join();
  int got = 0;
  std::thread([&] { got = inner.join(); }).join();
  EXPECT_EQ(8, got);
}

TEST(Fiber, AttributesNameAndSize) {
  baton::run([] {
    const auto deep = [](auto& self, int n) -> int {
      volatile char frame[1024];
      frame[0] = static_cast<char>(n);
      return n == 0 ? frame[0] : self(self, n - 1) + 1;
    };
    // 2 MiB of frames do not fit the default.
    auto f = baton::spawn({.name = "deep", .stack_size = 8u << 20}, [&] { return deep(deep, 2000); });
    EXPECT_EQ(2000, f.join());
    baton::event done;
    baton::go({.name = "named"}, [&] { done.set(); });
    done.wait();
    std::string temporary = "temporary";
    EXPECT_EQ(3, baton::spawn({.name = temporary + "!"}, add, 1, 2).join());
  });
}

TEST(Fiber, AHundredThousandComeAndGo) {
  baton::run([] {
    std::atomic<int> sum{0};
    std::vector<baton::fiber<void>> some;
    for (int round = 0; round < 100; ++round) {
      some.clear();
      for (int i = 0; i < 1000; ++i) some.push_back(baton::spawn([&] { sum.fetch_add(1); }));
    }
    some.clear();
    EXPECT_EQ(100'000, sum);
  });
}

TEST(Fiber, TreesOfFibers) {
  struct tree {
    static int leaves(int depth) {
      if (depth == 0) return 1;
      auto left = baton::spawn(leaves, depth - 1);
      auto right = baton::spawn(leaves, depth - 1);
      return left.join() + right.join();
    }
  };
  baton::run([] { EXPECT_EQ(1 << 12, tree::leaves(12)); });
}

std::string stderr_of(const std::function<void()>& f) {
  testing::internal::CaptureStderr();
  f();
  return testing::internal::GetCapturedStderr();
}

TEST(Fiber, AnExceptionNobodyFetchedIsReportedOnce) {
  const std::string said = stderr_of([] {
    baton::run([] {
      {
        auto f = baton::spawn({.name = "lost"}, [] { throw std::runtime_error("by destructor"); });
      }
      auto g = baton::spawn([] { throw std::runtime_error("by assignment"); });
      g = {};
      auto fetched = baton::spawn([] { throw std::runtime_error("fetched"); });
      EXPECT_THROW(fetched.join(), std::runtime_error);
    });
  });
  const auto times = [&](const std::string& what) {
    int n = 0;
    for (std::size_t at = 0; (at = said.find(what, at)) != std::string::npos; ++at) ++n;
    return n;
  };
  EXPECT_EQ(1, times("by destructor")) << said;
  EXPECT_EQ(1, times("\"lost\": an exception nobody fetched: by destructor")) << said;
  EXPECT_EQ(1, times("by assignment")) << said;
  EXPECT_EQ(0, times(": fetched")) << said;
}

TEST_F(FiberDeathTest, AnEscapingExceptionNamesTheFiber) {
  EXPECT_DEATH(baton::run([] {
                 baton::go({.name = "acceptor"}, [] { throw std::runtime_error("no more sockets"); });
                 baton::event().wait();
               }),
               "baton: fiber [0-9]+ \"acceptor\": an exception escaped: no more sockets");
}

TEST_F(FiberDeathTest, AnEscapingObjectOfAnyTypeIsReported) {
  EXPECT_DEATH(baton::run([] {
                 baton::go([] { throw 5; });
                 baton::event().wait();
               }),
               "baton: fiber [0-9]+.*: an exception escaped: an object of type i");
}

TEST_F(FiberDeathTest, ASecondJoinIsRefused) {
  EXPECT_DEATH(baton::run([] {
                 auto f = baton::spawn([] {});
                 f.join();
                 f.join();
               }),
               "fiber [0-9]+ \"main\": join of a fiber that is not joinable");
}

TEST_F(FiberDeathTest, ADetachAfterJoinIsRefused) {
  EXPECT_DEATH(baton::run([] {
                 auto f = baton::spawn([] {});
                 f.join();
                 f.detach();
               }),
               "detach of a fiber that is not joinable");
}

TEST_F(FiberDeathTest, AFiberCannotJoinItself) {
  EXPECT_DEATH(baton::run([] {
                 baton::event ready;
                 baton::fiber<void> f;
                 f = baton::spawn([&] {
                   ready.wait();
                   f.join();
                 });
                 ready.set();
                 baton::event().wait();
               }),
               "a fiber joins itself");
}

// Parks fibers until there is no memory for one more; then ends them, and goes on working.
void use_up_the_address_space() {
  baton::run([] {
    baton::spawn([] { baton::this_fiber::yield(); }).join();
    std::vector<baton::fiber<void>> parked;
    parked.reserve(1'000'000);
    long pages = 0;
    {
      std::FILE* const statm = std::fopen("/proc/self/statm", "r");
      if (statm == nullptr || std::fscanf(statm, "%ld", &pages) != 1) std::_Exit(10);
      std::fclose(statm);
    }
    const rlim_t limit = static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (300u << 20);
    const rlimit as{limit, limit};
    if (::setrlimit(RLIMIT_AS, &as) != 0) std::_Exit(11);

    baton::event go_on;
    bool spawn_failed = false;
    while (!spawn_failed && parked.size() < parked.capacity()) {
      try {
        parked.push_back(baton::spawn([&] { go_on.wait(); }));
      } catch (const std::bad_alloc&) {
        spawn_failed = true;
      }
    }
    if (!spawn_failed) std::_Exit(12);
    std::atomic<int> started{0};
    std::atomic<int> ended{0};
    bool go_failed = false;
    for (int i = 0; i < 1000 && !go_failed; ++i) {
      try {
        baton::go([&] {
          started.fetch_add(1);
          go_on.wait();
          ended.fetch_add(1);
        });
      } catch (const std::bad_alloc&) {
        go_failed = true;
      }
    }
    if (!go_failed) std::_Exit(13);
    // Fibers that were started before live on, and new ones can be started once there is room again.
    go_on.set();
    parked.clear();
    while (started.load() != ended.load()) baton::this_fiber::yield();
    if (baton::spawn([] { return 5; }).join() != 5) std::_Exit(14);
  });
  std::_Exit(0);
}

TEST_F(FiberDeathTest, NoMemoryForAStackIsBadAllocAndTheProcessLivesOn) {
#if BATON_ASAN || BATON_TSAN
  GTEST_SKIP() << "sanitizers need the address space";
#endif
  EXPECT_EXIT(use_up_the_address_space(), testing::ExitedWithCode(0), "");
}

TEST(Fiber, AStackThatIsTooLargeIsAnErrorThatSaysSo) {
  for (const std::size_t size : {baton::stack_size_max + 1, ~std::size_t{0}}) {
    try {
      baton::go({.stack_size = size}, [] {});
      FAIL() << size;
    } catch (const std::bad_alloc& e) {
      EXPECT_NE(std::string(e.what()).find("the largest has 8 MiB"), std::string::npos) << e.what();
    }
  }
  EXPECT_EQ(baton::spawn({.stack_size = baton::stack_size_max}, [] { return 7; }).join(), 7);
}

TEST_F(FiberDeathTest, ADefaultStackThatIsTooLargeIsCutAndSaid) {
  EXPECT_EXIT(
      {
        baton::options o;
        o.stack_size = std::size_t{1} << 40;
        std::_Exit(baton::run([] { return 7; }, o));
      },
      testing::ExitedWithCode(7), "options.stack_size is 1099511627776; the largest stack has 8388608 bytes");
}

TEST_F(FiberDeathTest, OptionsWithoutLimitsAreLegal) {
  EXPECT_EXIT(
      {
        baton::options o;
        o.procs = 1;
        o.rescue_after = std::chrono::hours::max();
        o.idle_threads_end_after = std::chrono::hours::max();
        std::_Exit(baton::run(
            [] {
              for (int i = 0; i < 100; ++i) baton::spawn([] { baton::blocking([] {}); }).join();
              return 7;
            },
            o));
      },
      testing::ExitedWithCode(7), "");
}

}  // namespace
