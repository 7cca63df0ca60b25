// What the C++ runtime keeps per thread about exceptions belongs to the fiber: a fiber may switch in a catch block, and
// in a destructor during unwinding, and come back on another thread.
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr int fibers = 200;

struct numbered : std::runtime_error {
  numbered(int f, int r, int d)
      : std::runtime_error("fiber " + std::to_string(f) + " round " + std::to_string(r) + " depth " +
                           std::to_string(d)),
        fiber(f),
        round(r),
        depth(d) {}
  int fiber;
  int round;
  int depth;
};

// Switches, a varying number of times, so that fibers meet in every order.
void give_way(int seed) {
  switch (seed % 4) {
    case 0: baton::this_fiber::yield(); break;
    case 1:
      baton::this_fiber::yield();
      baton::this_fiber::yield();
      break;
    case 2: baton::this_fiber::sleep_for(50us); break;
    default: break;
  }
}

bool current_is(int fiber, int round, int depth) {
  try {
    const std::exception_ptr e = std::current_exception();
    if (e == nullptr) return false;
    std::rethrow_exception(e);
  } catch (const numbered& n) {
    return n.fiber == fiber && n.round == round && n.depth == depth;
  } catch (...) {
    return false;
  }
}

// Its destructor switches while the stack is unwound through it.
class switching_destructor {
 public:
  switching_destructor(int seed, int uncaught, int& mistakes) : seed_(seed), uncaught_(uncaught), mistakes_(mistakes) {}
  ~switching_destructor() {
    if (std::uncaught_exceptions() != uncaught_) ++mistakes_;
    give_way(seed_);
    if (std::uncaught_exceptions() != uncaught_) ++mistakes_;
    // Another exception is thrown and handled meanwhile.
    try {
      give_way(seed_ + 1);
      throw std::logic_error("inner");
    } catch (const std::logic_error& e) {
      give_way(seed_ + 2);
      if (std::uncaught_exceptions() != uncaught_ || e.what() != std::string("inner")) ++mistakes_;
    }
    if (std::uncaught_exceptions() != uncaught_) ++mistakes_;
  }

 private:
  int seed_;
  int uncaught_;
  int& mistakes_;
};

// Throws, and handles, `depth` exceptions within each other's handlers.
void nest(int fiber, int round, int depth, int& mistakes) {
  try {
    const switching_destructor d(fiber + round + depth, 1, mistakes);
    give_way(fiber + round);
    throw numbered(fiber, round, depth);
  } catch (const numbered& n) {
    if (std::uncaught_exceptions() != 0) ++mistakes;
    give_way(fiber + depth);
    if (!current_is(fiber, round, depth)) ++mistakes;
    if (depth > 0) nest(fiber, round, depth - 1, mistakes);
    give_way(fiber + depth + 1);
    if (!current_is(fiber, round, depth)) ++mistakes;
    if (n.fiber != fiber || n.round != round || n.depth != depth) ++mistakes;
  }
}

int mistakes_of(int fiber) {
  int mistakes = 0;
  for (int round = 0; round < 10; ++round) {
    nest(fiber, round, 3, mistakes);
    if (std::current_exception() != nullptr || std::uncaught_exceptions() != 0) ++mistakes;
    // Rethrown from a handler, after a switch.
    try {
      try {
        throw numbered(fiber, round, -1);
      } catch (const numbered&) {
        give_way(fiber + round);
        throw;
      }
    } catch (const numbered& n) {
      give_way(fiber + round + 1);
      if (n.fiber != fiber || n.round != round || !current_is(fiber, round, -1)) ++mistakes;
    }
    // Kept, and rethrown later.
    std::exception_ptr kept;
    try {
      throw numbered(fiber, round, -2);
    } catch (...) {
      give_way(fiber);
      kept = std::current_exception();
    }
    give_way(fiber + 1);
    if (std::current_exception() != nullptr) ++mistakes;
    try {
      std::rethrow_exception(kept);
    } catch (const numbered& n) {
      give_way(fiber + 2);
      if (n.fiber != fiber || n.depth != -2) ++mistakes;
    }
  }
  return mistakes;
}

TEST(Exceptions, BelongToTheFiber) {
  baton::run([] {
    std::vector<baton::fiber<int>> all;
    for (int i = 0; i < fibers; ++i) all.push_back(baton::spawn(mistakes_of, i));
    for (auto& f : all) EXPECT_EQ(0, f.join());
  });
}

TEST(Exceptions, ANewFiberHasNone) {
  baton::run([] {
    try {
      throw std::runtime_error("the parent's");
    } catch (const std::runtime_error&) {
      auto child = baton::spawn([] { return std::current_exception() == nullptr && std::uncaught_exceptions() == 0; });
      EXPECT_TRUE(child.join());
      EXPECT_NE(nullptr, std::current_exception());
    }
  });
}

TEST(Exceptions, AJoinInADestructorDuringUnwindingWorks) {
  baton::run([] {
    bool ran = false;
    try {
      auto child = baton::spawn([&] {
        baton::this_fiber::yield();
        EXPECT_EQ(0, std::uncaught_exceptions());
        ran = true;
      });
      throw std::runtime_error("past a joinable fiber");
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ("past a joinable fiber", e.what());
    }
    EXPECT_TRUE(ran);
  });
}

TEST(Exceptions, TravelThroughJoinsOfManyLevels) {
  struct levels {
    static int go_down(int n) {
      if (n == 0) throw numbered(0, 0, 42);
      return baton::spawn(go_down, n - 1).join();
    }
  };
  baton::run([] {
    try {
      static_cast<void>(levels::go_down(50));
      FAIL() << "nothing was thrown";
    } catch (const numbered& n) {
      EXPECT_EQ(42, n.depth);
    }
  });
}

}  // namespace
