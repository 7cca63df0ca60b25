// fiber_local: a value per fiber, wherever the fiber runs, and the end of the value.
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/fiber_local.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/wait_group.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/thread.h>
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <pthread.h>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

// Records the ends of values: each appends its name.
class record {
 public:
  void add(const std::string& what) {
    const std::lock_guard guard(mutex_);
    all_ += what;
  }
  [[nodiscard]] std::string take() {
    const std::lock_guard guard(mutex_);
    return std::exchange(all_, {});
  }

 private:
  std::mutex mutex_;
  std::string all_;
};
record ends;

struct teller {
  std::string name;
  explicit teller(std::string n) : name(std::move(n)) {}
  teller(const teller&) = delete;
  teller& operator=(const teller&) = delete;
  ~teller() { ends.add(name); }
};

// Returns a factory for a fiber_local<teller> whose values have that name.
auto named(const char* name) {
  return [name] { return teller(name); };
}

constinit baton::fiber_local<int> number;
constinit baton::fiber_local<std::string> text;

TEST(FiberLocal, BeginsAsTAndIsEachFibersOwn) {
  baton::run([] {
    EXPECT_EQ(0, *number);
    *number = 1;
    baton::spawn([] {
      EXPECT_EQ(0, *number);
      *number = 2;
      baton::spawn([] { EXPECT_EQ(0, *number); }).join();
      EXPECT_EQ(2, *number);
    }).join();
    EXPECT_EQ(1, *number);
    text->append("x");
    EXPECT_EQ("x", *text);
  });
  baton::run([] { EXPECT_EQ(0, *number); });
}

TEST(FiberLocal, BeginsAsACopyOrByAFactory) {
  static baton::fiber_local<int> three(3);
  static baton::fiber_local<std::string> word("word");
  static std::atomic<int> made{0};
  static baton::fiber_local<int> counted([] { return ++made; });
  static baton::fiber_local<std::function<int()>> function([] { return 5; });  // the value itself
  struct immovable {
    int value;
    explicit immovable(int v) : value(v) {}
    immovable(const immovable&) = delete;
    immovable& operator=(const immovable&) = delete;
  };
  static baton::fiber_local<immovable> fixed([] { return immovable(7); });
  static baton::fiber_local<std::unique_ptr<int>> owner([] { return std::make_unique<int>(8); });
  struct alignas(128) wide {
    char c = 'c';
  };
  static baton::fiber_local<wide> aligned;
  for (int i = 1; i <= 2; ++i) {
    baton::run([i] {
      EXPECT_EQ(3, (*three)++);
      word->append("s");
      EXPECT_EQ("words", *word);
      EXPECT_EQ(i, *counted);
      EXPECT_EQ(i, *counted);
      EXPECT_EQ(5, (*function)());
      EXPECT_EQ(7, fixed->value);
      EXPECT_EQ(8, **owner);
      EXPECT_EQ(0U, reinterpret_cast<std::uintptr_t>(&*aligned) % 128);
    });
  }
}

TEST(FiberLocal, StaysWithAFiberThatChangesThreads) {
  for (const int procs : {2, 8}) {
    const int before = baton::set_procs(procs);
    baton::run([] {
      std::atomic<int> moved{0};
      std::vector<baton::fiber<void>> all;
      for (int f = 1; f <= 100; ++f) {
        all.push_back(baton::spawn([f, &moved] {
          *number = f;
          const int* const address = &*number;
          // Not std::this_thread::get_id(): the compiler assumes that it never changes.
          std::int32_t thread = baton::sched::platform::thread_id();
          for (int i = 0; i < 100 || moved.load() < 100; ++i) {
            if (i % 20 == 19) {
              baton::this_fiber::sleep_for(10us);
            } else {
              baton::this_fiber::yield();
            }
            if (std::exchange(thread, baton::sched::platform::thread_id()) != thread) ++moved;
            ASSERT_EQ(f, *number);
            ASSERT_EQ(address, &*number);
          }
        }));
      }
      for (auto& f : all) f.join();
    });
    baton::set_procs(before);
  }
}

TEST(FiberLocal, InsideBlockingItIsStillTheFibers) {
  baton::run([] {
    *number = 11;
    EXPECT_EQ(11, baton::blocking([] { return *number; }));
    baton::blocking([] { text->assign("made inside"); });
    EXPECT_EQ("made inside", *text);
  });
}

TEST(FiberLocal, EndsBeforeJoinReturns) {
  static baton::fiber_local<teller> local(named("local "));
  struct closure {
    std::unique_ptr<teller> captured = std::make_unique<teller>("closure ");
    std::unique_ptr<teller> operator()() {
      static_cast<void>(*local);
      return std::make_unique<teller>("result ");
    }
  };
  baton::run([] {
    auto f = baton::spawn(closure{});
    const auto result = f.join();
    EXPECT_EQ("closure local ", ends.take());
  });
  static_cast<void>(ends.take());
  // The same, joined by a plain thread, which may be waiting before the fiber ends.
  auto f = baton::spawn([] {
    static_cast<void>(*local);
    baton::this_fiber::yield();
  });
  f.join();
  EXPECT_EQ("local ", ends.take());
}

TEST(FiberLocal, OfADetachedFiberEndsAfterItsResult) {
  static baton::fiber_local<teller> local(named("local "));
  struct signal {
    baton::wait_group* ended;
    explicit signal(baton::wait_group* g) : ended(g) {}
    signal(const signal&) = delete;
    signal& operator=(const signal&) = delete;
    ~signal() {
      if (ended != nullptr) ended->done();
    }
  };
  static baton::fiber_local<std::optional<signal>> at_end;
  baton::run([] {
    baton::wait_group ended;
    ended.add(2);
    baton::event detached;
    baton::go([&] {
      at_end->emplace(&ended);
      static_cast<void>(*local);
    });
    auto f = baton::spawn([&] {
      at_end->emplace(&ended);
      static_cast<void>(*local);
      detached.wait();
      return std::make_unique<teller>("result ");
    });
    f.detach();
    detached.set();
    ended.wait();
  });
  const std::string order = ends.take();
  EXPECT_TRUE(order == "local result local " || order == "result local local ") << order;
}

TEST(FiberLocal, AValueThatADroppedResultMakesIsDestroyedToo) {
  static std::atomic<std::size_t> made{0};
  made = 0;
  static baton::fiber_local<teller> local([] {
    ++made;
    return teller("local ");
  });
  struct user {
    baton::event* done;
    explicit user(baton::event* e) : done(e) {}
    user(user&& other) noexcept : done(std::exchange(other.done, nullptr)) {}
    user& operator=(user&&) = delete;
    ~user() {
      if (done == nullptr) return;
      static_cast<void>(*local);
      done->set();
    }
  };
  baton::run([] {
    // Detached before its end, at its end and after it.
    for (int i = 0; i < 200; ++i) {
      baton::event done;
      auto f = baton::spawn([&] { return user(&done); });
      for (int k = 0; k < i % 4; ++k) baton::this_fiber::yield();
      f.detach();
      done.wait();
    }
  });
  // The last fibers may still be ending.
  std::string all;
  while (all.size() < made * std::strlen("local ")) {
    all += ends.take();
    std::this_thread::yield();
  }
  EXPECT_GE(made, 1U);
  EXPECT_EQ(made * std::strlen("local "), all.size()) << all;
}

TEST(FiberLocal, TheNewestValueGoesFirst) {
  static baton::fiber_local<teller> a(named("a"));
  static baton::fiber_local<teller> b(named("b"));
  static baton::fiber_local<teller> c(named("c"));
  baton::run([] {
    static_cast<void>(*b);
    static_cast<void>(*a);
    static_cast<void>(*c);
    static_cast<void>(*b);
  });
  EXPECT_EQ("cab", ends.take());
}

// Uses `other` in its destructor.
struct user_at_end {
  std::string name;
  baton::fiber_local<teller>* other;
  user_at_end(std::string n, baton::fiber_local<teller>* o) : name(std::move(n)), other(o) {}
  user_at_end(const user_at_end&) = delete;
  user_at_end& operator=(const user_at_end&) = delete;
  ~user_at_end() { ends.add(name + " with " + (*other)->name + ", "); }
};

TEST(FiberLocal, ADestructorMayUseAnother) {
  static baton::fiber_local<teller> older(named("older, "));
  static baton::fiber_local<teller> newer(named("newer, "));
  static baton::fiber_local<teller> unused(named("unused, "));
  static baton::fiber_local<user_at_end> with_older([] { return user_at_end("x", &older); });
  static baton::fiber_local<user_at_end> with_newer([] { return user_at_end("y", &newer); });
  static baton::fiber_local<user_at_end> with_unused([] { return user_at_end("z", &unused); });
  const auto use = [] {
    static_cast<void>(*older);
    static_cast<void>(*with_older);
    static_cast<void>(*with_newer);
    static_cast<void>(*newer);
    static_cast<void>(*with_unused);
  };
  const std::string expected =
      "z with unused, , newer, y with newer, , x with older, , older, "  // newer is built again
      "newer, unused, ";
  baton::run(use);
  EXPECT_EQ(expected, ends.take());
  std::thread(use).join();
  EXPECT_EQ(expected, ends.take());
}

TEST(FiberLocal, ADestructorMayWait) {
  struct sleeper {
    ~sleeper() {
      for (int i = 0; i < 10; ++i) baton::this_fiber::yield();
      baton::this_fiber::sleep_for(100us);
      ends.add("slept");
    }
  };
  static baton::fiber_local<sleeper> local;
  baton::run([] {
    std::vector<baton::fiber<void>> all;
    for (int i = 0; i < 3; ++i) all.push_back(baton::spawn([] { static_cast<void>(*local); }));
    for (auto& f : all) f.join();
    EXPECT_EQ("sleptsleptslept", ends.take());
  });
}

// One that builds itself again for ever.
struct phoenix {
  bool flies = false;
  phoenix() = default;
  phoenix(const phoenix&) = delete;
  phoenix& operator=(const phoenix&) = delete;
  ~phoenix();
};
baton::fiber_local<phoenix> reborn;
std::atomic<int> deaths{0};
// For leak checkers: the last object is leaked on purpose, and this vector is never destroyed.
std::vector<phoenix*>& last_seen = *new std::vector<phoenix*>;
phoenix::~phoenix() {
  ++deaths;
  if (!flies) return;
  reborn->flies = true;
  last_seen.push_back(&*reborn);
}

TEST(FiberLocal, ValuesThatAreMadeAgainForEverAreGivenUp) {
  testing::internal::CaptureStderr();
  baton::spawn([] { reborn->flies = true; }).join();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(4, deaths.load());
  EXPECT_NE(std::string::npos, said.find("still make new ones")) << said;
}

TEST(FiberLocal, NothingIsKeptWhenBuildingThrows) {
  static int attempts = 0;
  static baton::fiber_local<std::string> local([]() -> std::string {
    if (++attempts < 3) throw std::runtime_error("not yet");
    return "built";
  });
  baton::run([] {
    EXPECT_THROW(static_cast<void>(*local), std::runtime_error);
    EXPECT_THROW(static_cast<void>(*local), std::runtime_error);
    EXPECT_EQ("built", *local);
    EXPECT_EQ(3, attempts);
  });
  attempts = 0;
  try {
    baton::spawn([] { static_cast<void>(*local); }).join();
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ("not yet", e.what());
  }
}

TEST(FiberLocal, EndsAlsoWhenAnExceptionEndsTheFiber) {
  static baton::fiber_local<teller> local(named("local"));
  auto f = baton::spawn([] {
    static_cast<void>(*local);
    throw std::runtime_error("x");
  });
  EXPECT_THROW(f.join(), std::runtime_error);
  EXPECT_EQ("local", ends.take());
}

TEST(FiberLocal, AConstructorMayWaitAndUseOthers) {
  static baton::fiber_local<int> inner(20);
  struct slow {
    int value;
    slow() {
      baton::this_fiber::yield();
      baton::this_fiber::sleep_for(50us);
      value = ++*inner;
    }
  };
  static baton::fiber_local<slow> outer;
  baton::run([] {
    std::vector<baton::fiber<int>> all;
    for (int i = 0; i < 20; ++i) all.push_back(baton::spawn([] { return outer->value + *inner; }));
    for (auto& f : all) EXPECT_EQ(42, f.join());
  });
}

TEST(FiberLocalDeathTest, AConstructorThatUsesItsOwnValue) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  static bool inside = false;
  static baton::fiber_local<int> local([] { return std::exchange(inside, true) ? 1 : *local; });
  EXPECT_DEATH(baton::spawn({.name = "selfish"}, [] { static_cast<void>(*local); }).join(),
               "\"selfish\": a fiber_local was used while its own value was being built");
}

TEST(FiberLocal, OnAPlainThreadItIsTheThreads) {
  static baton::fiber_local<teller> local(named("thread "));
  *number = 31;
  std::thread([] {
    EXPECT_EQ(0, *number);
    *number = 32;
    static_cast<void>(*local);
    EXPECT_EQ("", ends.take());
    baton::spawn([] { EXPECT_EQ(0, *number); }).join();
    EXPECT_EQ(32, *number);
  }).join();
  EXPECT_EQ("thread ", ends.take());
  EXPECT_EQ(31, *number);
}

TEST(FiberLocal, ThreadLocalsMayUseItAtTheirEnd) {
  static baton::fiber_local<teller> local(named("value, "));
  struct at_thread_end {
    const char* name;
    ~at_thread_end() { ends.add(name + local->name); }
  };
  std::thread([] {
    static thread_local at_thread_end older{"older: "};
    static_cast<void>(older.name);
    static_cast<void>(*local);
    static thread_local at_thread_end newer{"newer: "};
    static_cast<void>(newer.name);
  }).join();
  EXPECT_EQ("newer: value, value, older: value, value, ", ends.take());
}

#if !BATON_ASAN  // glibc loses 32 bytes here: see sched/platform/thread_values.cc
TEST(FiberLocal, PthreadKeysMayUseItAtTheirEnd) {
  static baton::fiber_local<teller> local(named("value "));
  pthread_key_t key;
  ASSERT_EQ(0, ::pthread_key_create(&key, [](void*) { ends.add("key with " + local->name); }));
  std::thread([key] { ::pthread_setspecific(key, &ends); }).join();
  ::pthread_key_delete(key);
  EXPECT_EQ("key with value value ", ends.take());
}
#endif

TEST(FiberLocalDeathTest, TheMainThreadsEndsAtExit) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  struct goodbye {
    ~goodbye() { std::fputs("goodbye\n", stderr); }
  };
  static baton::fiber_local<goodbye> local;
  EXPECT_EXIT(
      {
        static_cast<void>(*local);
        std::exit(7);
      },
      testing::ExitedWithCode(7), "^goodbye\n$");
}

TEST(FiberLocal, OneThatIsGoneLeavesItsValuesToTheFibers) {
  baton::run([] {
    auto f = baton::spawn([] {
      std::optional<baton::fiber_local<teller>> first(std::in_place, named("first "));
      static_cast<void>(**first);
      first.reset();
      EXPECT_EQ("", ends.take());
      // It has the address and the type of its predecessor, and does not find the old value.
      first.emplace(named("second "));
      EXPECT_EQ("second ", (*first)->name);
      for (int i = 0; i < 1000; ++i) {
        baton::fiber_local<int> one_of_many(i);
        ASSERT_EQ(i, *one_of_many);
      }
      EXPECT_EQ("second ", (*first)->name);
    });
    f.join();
    EXPECT_EQ("second first ", ends.take());
  });
}

TEST(FiberLocal, HundredsInOneFiber) {
  static std::vector<std::unique_ptr<baton::fiber_local<int>>> locals;
  for (int i = 0; i < 500; ++i) locals.push_back(std::make_unique<baton::fiber_local<int>>(i));
  baton::run([] {
    std::vector<baton::fiber<void>> all;
    for (std::size_t f = 0; f < 20; ++f) {
      all.push_back(baton::spawn([f] {
        for (int round = 0; round < 3; ++round) {
          // Each fiber uses other fiber_locals, in another order: the ids are not dense.
          for (std::size_t i = f; i < 500; i += f + 1) ASSERT_EQ(static_cast<int>(i) + round, (*(*locals[i]))++);
          baton::this_fiber::yield();
        }
      }));
    }
    for (auto& f : all) f.join();
  });
}

TEST(FiberLocal, TenThousandFibers) {
  static std::atomic<int> alive{0};
  struct counted {
    int value = 0;
    counted() { ++alive; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
    ~counted() { --alive; }
  };
  static baton::fiber_local<counted> local;
  baton::run([] {
    constexpr int fibers = 10'000;
    baton::event go;
    baton::wait_group ready;
    ready.add(fibers);
    std::vector<baton::fiber<void>> all;
    all.reserve(fibers);
    for (int i = 0; i < fibers; ++i) {
      all.push_back(baton::spawn({.stack_size = 16 * 1024}, [&, i] {
        local->value = i;
        ready.done();
        go.wait();
        EXPECT_EQ(i, local->value);
      }));
    }
    ready.wait();
    EXPECT_EQ(fibers, alive.load());
    go.set();
    for (auto& f : all) f.join();
    EXPECT_EQ(0, alive.load());
  });
}

}  // namespace
