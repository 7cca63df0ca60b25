#include <baton/netpoll/fd_mutex.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>

#include <gtest/gtest.h>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace baton::net {
namespace {

using read_hold = fd_hold<fd_mutex::side::read>;
using write_hold = fd_hold<fd_mutex::side::write>;

TEST(FdMutex, ReadersAndWritersDoNotExcludeEachOther) {
  fd_mutex m;
  const read_hold reader(m);
  const write_hold writer(m);
  EXPECT_TRUE(reader);
  EXPECT_TRUE(writer);
  EXPECT_EQ(m.users(), 2u);
}

TEST(FdMutex, AHoldEndsWithAnException) {
  fd_mutex m;
  try {
    const read_hold held(m);
    throw 1;
  } catch (int) {
  }
  EXPECT_EQ(m.users(), 0u);
  EXPECT_TRUE(read_hold(m));
}

TEST(FdMutex, CloseForbidsNewHolds) {
  fd_mutex m;
  int begun = 0;
  int ended = 0;
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(m.close([&]() noexcept { ++begun; }, [&]() noexcept { ++ended; }));
    EXPECT_EQ(begun, 1);
    EXPECT_EQ(ended, 1);
    EXPECT_FALSE(fd_reference(m));
    EXPECT_FALSE(read_hold(m));
    EXPECT_FALSE(write_hold(m));
  }
}

// Holders, queueing agents, and every other close(): all have left when any close() returns.
TEST(FdMutex, EachCloseWaitsForEverybody) {
  run([] {
    fd_mutex m;
    std::optional<read_hold> reader(std::in_place, m);
    std::atomic<int> queueing{0};
    std::atomic<int> begun{0};
    std::atomic<int> ended{0};
    std::vector<fiber<void>> all;
    for (int i = 0; i < 4; ++i) {
      all.push_back(spawn([&] {
        ++queueing;
        EXPECT_FALSE(read_hold(m));
        --queueing;
      }));
    }
    while (m.users() != 5) sched::yield();
    std::atomic<int> closed{0};
    for (int i = 0; i < 3; ++i) {
      all.push_back(spawn([&] {
        EXPECT_TRUE(m.close([&]() noexcept { ++begun; }, [&]() noexcept { ++ended; }));
        EXPECT_EQ(queueing, 0);
        EXPECT_EQ(ended, 1);
        ++closed;
      }));
    }
    // The reader, and the two closes that came second.
    while (queueing.load() != 0 || m.users() != 3) sched::yield();
    EXPECT_EQ(begun, 1);
    EXPECT_EQ(ended, 0);
    EXPECT_EQ(closed, 0);
    reader.reset();
    for (fiber<void>& f : all) f.join();
    EXPECT_EQ(closed, 3);
    EXPECT_EQ(begun, 1);
  });
}

// Fibers and plain threads hammer both sides, and several close in the middle. One of them destroys it at once.
TEST(FdMutex, StressMutualExclusionAndClosing) {
  for (int round = 0; round < 30; ++round) {
    auto m = std::make_unique<fd_mutex>();
    std::atomic<int> inside[2] = {0, 0};
    std::atomic<int> holders{0};
    std::atomic<int> ended{0};
    std::atomic<int> rounds{0};
    std::atomic<int> out{0};
    constexpr int hammers = 12;
    const auto exclusively = [&](const auto& held, int n) {
      if (!held) return false;
      ++holders;
      EXPECT_EQ(inside[n % 2].fetch_add(1), 0);
      if (n % 3 == 0) sched::yield();
      inside[n % 2].fetch_sub(1);
      --holders;
      return true;
    };
    const auto hammer = [&](int n) {
      for (;;) {
        if (n % 5 == 4) {
          const fd_reference held(*m);
          if (!held) break;
          ++holders;
          --holders;
        } else if (n % 2 == 0) {
          if (!exclusively(read_hold(*m), n)) break;
        } else {
          if (!exclusively(write_hold(*m), n)) break;
        }
        ++rounds;
        if (n % 4 == 0) sched::yield();
      }
      ++out;
    };
    const auto close = [&] { return m->close([]() noexcept {}, [&]() noexcept { ++ended; }); };
    std::vector<std::thread> threads;
    for (int n = 0; n < 2; ++n) threads.emplace_back(hammer, n);
    run([&] {
      std::vector<fiber<void>> fibers;
      for (int n = 2; n < hammers; ++n) fibers.push_back(spawn(hammer, n));
      while (rounds.load() < 500) sched::yield();
      std::atomic<int> closed{0};
      for (int n = 0; n < 3; ++n) {
        fibers.push_back(spawn([&] {
          EXPECT_TRUE(close());
          EXPECT_EQ(holders, 0);
          EXPECT_EQ(ended, 1);
          ++closed;
        }));
      }
      while (closed.load() < 3) sched::yield();
      while (out.load() < hammers) sched::yield();
      EXPECT_EQ(m->users(), 0u);
      for (fiber<void>& f : fibers) f.join();
    });
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(ended, 1);
  }
}

// The agent whose close() returns first destroys it, whichever others are still on the way out.
TEST(FdMutex, WhoeverReturnsFirstFromCloseMayDestroyIt) {
  run([] {
    for (int round = 0; round < 500; ++round) {
      auto* const m = new fd_mutex;
      std::optional<write_hold> writer(std::in_place, *m);
      std::atomic<bool> destroyed{false};
      std::vector<fiber<void>> all;
      std::atomic<int> out{0};
      for (int n = 0; n < 3; ++n) {
        all.push_back(spawn([&out, m] {
          EXPECT_FALSE(write_hold(*m));
          ++out;
        }));
      }
      while (m->users() != 4) sched::yield();
      for (int n = 0; n < 3; ++n) {
        all.push_back(spawn([&] {
          EXPECT_TRUE(m->close([]() noexcept {}, []() noexcept {}));
          if (!destroyed.exchange(true)) delete m;
        }));
      }
      while (out.load() != 3 || m->users() != 3) sched::yield();  // the writer, and the two closes that came second
      writer.reset();
      for (fiber<void>& f : all) f.join();
    }
  });
}

}  // namespace
}  // namespace baton::net
