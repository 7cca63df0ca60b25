// Fibers that always find what they wait for, or hand on to each other for ever, do not keep the others from running.
// The others end them, so where that fails these tests hang.
#include <baton/baton.h>

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using baton::bytes;

class on_one_p : public testing::Test {
 protected:
  on_one_p() : before_(baton::set_procs(1)) {}
  ~on_one_p() override { baton::set_procs(before_); }

 private:
  int before_;
};

class Fairness : public on_one_p {};

TEST_F(Fairness, AChannelThatIsNeverEmpty) {
  baton::spawn([] {
    std::atomic<bool> stop{false};
    const baton::channel<int> c(1);
    baton::go([&] { stop = true; });
    while (!stop) {
      ASSERT_TRUE(c.send(1));
      ASSERT_TRUE(c.receive().has_value());
    }
  }).join();
}

TEST_F(Fairness, AnEventThatIsAlwaysSetAndALockThatIsAlwaysFree) {
  baton::spawn([] {
    std::atomic<int> stop{0};
    baton::event e;
    e.set();
    baton::go([&] { ++stop; });
    while (stop == 0) e.wait();
    baton::mutex m;
    baton::go([&] { ++stop; });
    while (stop == 1) {
      m.lock();
      m.unlock();
    }
  }).join();
}

// Each of these lets others run when its slice is over. With one P, and no rescue; otherwise it hangs.
template <class F>
void gives_way_at_the_end_of_its_slice(const char* what, F operation) {
  std::fprintf(stderr, "%s\n", what);
  std::atomic<bool> stop{false};
  std::vector<baton::fiber<void>> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(baton::spawn([&] {
      while (!stop) operation();
    }));
  }
  for (int turns = 0; turns < 3; ++turns) baton::this_fiber::yield();
  stop = true;
  for (auto& f : all) f.join();
}

int all_give_way_at_the_end_of_their_slices() {
  return baton::run(
      [] {
        using namespace std::chrono_literals;
        baton::shared_mutex s;
        baton::semaphore permits(3);
        baton::once_flag once;
        baton::latch open(0);
        baton::wait_group none;
        baton::call_once(once, [] {});
        gives_way_at_the_end_of_its_slice("mutex", [] {
          baton::mutex own;
          own.lock();
          own.unlock();
        });
        gives_way_at_the_end_of_its_slice("try_lock_for", [] {
          baton::mutex own;
          if (own.try_lock_for(1s)) own.unlock();
        });
        gives_way_at_the_end_of_its_slice("try_lock_until", [] {
          baton::shared_mutex own;
          if (own.try_lock_until(std::chrono::steady_clock::now() + 1s)) own.unlock();
        });
        gives_way_at_the_end_of_its_slice("shared_mutex::lock", [] {
          baton::shared_mutex own;
          own.lock();
          own.unlock();
        });
        gives_way_at_the_end_of_its_slice("lock_shared", [&] {
          s.lock_shared();
          s.unlock_shared();
        });
        gives_way_at_the_end_of_its_slice("try_lock_shared_for", [&] {
          if (s.try_lock_shared_for(1s)) s.unlock_shared();
        });
        gives_way_at_the_end_of_its_slice("semaphore", [&] {
          permits.acquire();
          permits.release();
        });
        gives_way_at_the_end_of_its_slice("call_once", [&] { baton::call_once(once, [] {}); });
        gives_way_at_the_end_of_its_slice("latch", [&] { open.wait(); });
        gives_way_at_the_end_of_its_slice("wait_group", [&] { none.wait(); });
        gives_way_at_the_end_of_its_slice("barrier", [] {
          baton::barrier alone(1);
          alone.arrive_and_wait();
        });
        gives_way_at_the_end_of_its_slice("select",
                                          [] { baton::select(baton::otherwise([] {}), baton::on_timeout(1s, [] {})); });
      },
      {.procs = 1, .rescue = false});
}

TEST(FairnessDeathTest, WhatFindsNothingToWaitForHeedsTheEndOfItsSlice) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::_Exit(all_give_way_at_the_end_of_their_slices()), testing::ExitedWithCode(0), "select");
}

TEST_F(Fairness, ASocketThatIsAlwaysReady) {
  baton::spawn([] {
    auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
    ASSERT_TRUE(listener.ok());
    auto accepted = baton::spawn([&] { return listener->accept(); });
    auto mine = baton::net::dial(listener->local_address().to_string());
    ASSERT_TRUE(mine.ok());
    auto other = accepted.join();
    ASSERT_TRUE(other.ok());
    std::atomic<bool> stop{false};
    // There is always something to read: it is put back.
    ASSERT_TRUE(other->write(std::string(64, 'x')).ok());
    baton::go([&] { stop = true; });
    char c = 0;
    while (!stop) {
      ASSERT_TRUE(mine->read(bytes(&c, 1)).ok());
      ASSERT_TRUE(other->write(std::string(1, 'x')).ok());
    }
  }).join();
}

TEST_F(Fairness, TwoThatReadyEachOtherForEver) {
  baton::spawn([] {
    std::atomic<bool> stop{false};
    baton::event ping;
    baton::event pong;
    auto second = baton::spawn([&] {
      while (!stop) {
        ping.wait();
        ping.reset();
        pong.set();
      }
    });
    baton::go([&] {
      // Further back than runnext: behind the fibers in the queue.
      for (int i = 0; i < 100; ++i) baton::this_fiber::yield();
      stop = true;
    });
    while (!stop) {
      ping.set();
      pong.wait();
      pong.reset();
    }
    ping.set();
    second.join();
  }).join();
}

// A fiber's P may be taken while it holds a lock that others wait for: they wait on, and get it.
TEST_F(Fairness, TheHolderOfAMutexIsRescued) {
  baton::spawn([] {
    baton::mutex m;
    std::atomic<bool> ran{false};
    auto holder = baton::spawn([&] {
      m.lock();
      auto waiter = baton::spawn([&] {
        m.lock();
        EXPECT_TRUE(ran);
        m.unlock();
      });
      auto other = baton::spawn([&] { ran = true; });
      while (!ran) {
      }  // undeclared, and without a call: until another fiber has had the P
      m.unlock();
      waiter.join();
      other.join();
    });
    holder.join();
  }).join();
}

}  // namespace
