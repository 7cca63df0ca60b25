// Random operations on the objects that agents can wait for, one after the other, beside a model. After each operation
// the model says which operations have to be through and which have to wait. One fiber directs. Each operation that may
// wait has a fiber of its own. What an operation lets through is awaited before the next one, so each has one right
// result.
#include "parked.h"
#include "seed.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/condition_variable.h>
#include <baton/runtime/event.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/semaphore.h>
#include <baton/runtime/shared_mutex.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::test::seed_of_this_run;
using baton::test::watched_agent;

constexpr auto soon = 150us;  // the timeout of operations that have to time out

// A fiber that performs one operation, and announces that it is about to wait. It sets `through` when it has finished.
struct actor {
  template <class F>
  explicit actor(F operation)
      : running(baton::spawn([this, operation] {
          operation(*this);
          through.set();
          let_go.wait();
          if (at_end != nullptr) at_end(*this);
        })) {}
  ~actor() { let_go.set(); }

  [[nodiscard]] bool waits() const { return !through.is_set(); }

  watched_agent watch;
  baton::event through;
  baton::event let_go;
  void (*at_end)(actor&) = nullptr;
  void* object = nullptr;  // used by at_end
  bool exclusive = false;
  long wanted = 0;  // permits, or what is sent
  bool ok = false;  // what the operation returned
  std::optional<long> received;
  baton::fiber<void> running;  // the last: it uses all the others
};
using actor_ptr = std::unique_ptr<actor>;

class director {
 public:
  explicit director(std::uint64_t seed) : random_(seed) {}
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  bool chance(std::size_t one_in) { return below(one_in) == 0; }

 private:
  std::mt19937_64 random_;
};

// Waits until the operation is through. If it never is, the test hangs here until its time is up.
void must_get_through(actor& a) { a.through.wait(); }
void must_wait(const std::deque<actor_ptr>& queue) {
  for (const actor_ptr& a : queue) ASSERT_TRUE(a->waits());
}

// ---- semaphore ----

TEST(LocksModel, Semaphore) {
  baton::run([] {
    director d(seed_of_this_run());
    baton::semaphore s(2);
    long permits = 2;
    std::deque<actor_ptr> queue;
    const auto serve = [&] {
      while (!queue.empty() && queue.front()->wanted <= permits) {
        permits -= queue.front()->wanted;
        must_get_through(*queue.front());
        queue.pop_front();
      }
    };
    const auto arrive = [&](bool impatient, bool settle = true) {
      const long n = static_cast<long>(d.below(4));
      auto a = std::make_unique<actor>([&s, n, impatient](actor& self) {
        self.watch.about_to_wait();
        if (impatient) {
          self.ok = s.try_acquire_for(soon, n);
        } else {
          s.acquire(n);
          self.ok = true;
        }
      });
      a->wanted = n;
      if (n == 0 || (queue.empty() && n <= permits)) {
        permits -= n;
        must_get_through(*a);
        EXPECT_TRUE(a->ok);
        return;
      }
      if (settle) a->watch.await_parked();
      queue.push_back(std::move(a));
    };
    for (int i = 0; i < 3'000; ++i) {
      if (d.chance(3)) arrive(false);
      if (d.chance(3)) {
        const long n = static_cast<long>(d.below(4));
        s.release(n);
        permits += n;
        serve();
      }
      if (d.chance(3)) {
        const long n = static_cast<long>(d.below(4));
        const bool can = n == 0 || (queue.empty() && n <= permits);
        ASSERT_EQ(s.try_acquire(n), can);
        if (can) permits -= n;
      }
      if (d.chance(16)) {
        // A waiter that gives up, perhaps with others behind it by then.
        const std::size_t before = queue.size();
        arrive(true, false);
        if (queue.size() == before) continue;
        arrive(false, false);
        const auto impatient = queue.begin() + static_cast<std::ptrdiff_t>(before);
        must_get_through(**impatient);
        ASSERT_FALSE((*impatient)->ok);
        queue.erase(impatient);
        serve();
        if (!queue.empty()) queue.back()->watch.await_parked();
      }
      must_wait(queue);
    }
    s.release(1'000);
    permits += 1'000;
    serve();
    EXPECT_TRUE(queue.empty());
  });
}

// ---- mutex, shared_mutex ----

// A mutex as a shared_mutex without readers.
template <class Lock>
constexpr bool can_share = requires(Lock& l) {
  l.lock_shared();
};

template <class Lock>
class locks_model {
 public:
  explicit locks_model(std::uint64_t seed) : d_(seed) {}

  void play(int operations) {
    for (int i = 0; i < operations; ++i) {
      switch (d_.below(5)) {
        case 0:
        case 1:
          if (actor* const a = arrive(wants_exclusive(), false)) a->watch.await_parked();
          break;
        case 2: give_up(); break;
        case 3: try_now(); break;
        default: break;
      }
      if (!holders_.empty() && d_.chance(2)) release(d_.below(holders_.size()));
      must_wait(queue_);
      ASSERT_TRUE(holders_.empty() || !holders_.front()->exclusive || holders_.size() == 1);
    }
    while (!holders_.empty()) release(0);
    EXPECT_TRUE(queue_.empty());
  }

 private:
  bool wants_exclusive() { return !can_share<Lock> || d_.chance(3); }

  static void lock(Lock& l, actor& self, bool impatient) {
    self.ok = true;
    if (self.exclusive) {
      impatient ? static_cast<void>(self.ok = l.try_lock_for(soon)) : l.lock();
    } else if constexpr (can_share<Lock>) {
      impatient ? static_cast<void>(self.ok = l.try_lock_shared_for(soon)) : l.lock_shared();
    }
  }
  static void unlock(actor& self) {
    if (!self.ok) return;
    Lock& l = *static_cast<Lock*>(self.object);
    if (self.exclusive) {
      l.unlock();
    } else if constexpr (can_share<Lock>) {
      l.unlock_shared();
    }
  }

  [[nodiscard]] bool can_enter(bool exclusive) const {
    if (holders_.empty()) return true;
    return !exclusive && !holders_.front()->exclusive && queue_.empty();
  }

  // Returns null if the actor got the lock at once.
  actor* arrive(bool exclusive, bool impatient) {
    auto a = std::make_unique<actor>([this, exclusive, impatient](actor& self) {
      self.exclusive = exclusive;
      self.object = &lock_;
      self.at_end = &unlock;
      self.watch.about_to_wait();
      lock(lock_, self, impatient);
    });
    if (can_enter(exclusive)) {
      must_get_through(*a);
      EXPECT_TRUE(a->ok);
      holders_.push_back(std::move(a));
      return nullptr;
    }
    queue_.push_back(std::move(a));
    queue_exclusive_.push_back(exclusive);
    return queue_.back().get();
  }

  void give_up() {
    actor* const a = arrive(wants_exclusive(), true);
    if (a == nullptr) return;
    // Let another actor queue behind it. If that is a reader that only this writer holds up, it may come in when the
    // writer has left. If there are writers left, or one holds the lock, it may not.
    arrive(wants_exclusive(), false);
    must_get_through(*a);
    ASSERT_FALSE(a->ok);
    const auto at = std::find_if(queue_.begin(), queue_.end(), [&](const actor_ptr& p) { return p.get() == a; });
    queue_exclusive_.erase(queue_exclusive_.begin() + (at - queue_.begin()));
    queue_.erase(at);
    const bool writers_wait =
        std::find(queue_exclusive_.begin(), queue_exclusive_.end(), true) != queue_exclusive_.end();
    if (!writers_wait && !holders_.front()->exclusive) admit_readers();
    if (!queue_.empty()) queue_.back()->watch.await_parked();
  }

  void try_now() {
    if constexpr (can_share<Lock>) {
      if (d_.chance(2)) {
        const bool can = can_enter(false);
        ASSERT_EQ(lock_.try_lock_shared(), can);
        if (can) lock_.unlock_shared();
        return;
      }
    }
    ASSERT_EQ(lock_.try_lock(), can_enter(true));
    if (can_enter(true)) lock_.unlock();
  }

  void admit(std::size_t i) {
    must_get_through(*queue_[i]);
    EXPECT_TRUE(queue_[i]->ok);
    holders_.push_back(std::move(queue_[i]));
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
    queue_exclusive_.erase(queue_exclusive_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  bool admit_readers() {
    bool any = false;
    for (std::size_t i = 0; i < queue_.size();) {
      if (queue_exclusive_[i]) {
        ++i;
      } else {
        admit(i);
        any = true;
      }
    }
    return any;
  }
  void admit_writer() {
    const auto first = std::find(queue_exclusive_.begin(), queue_exclusive_.end(), true);
    if (first != queue_exclusive_.end()) admit(static_cast<std::size_t>(first - queue_exclusive_.begin()));
  }

  void release(std::size_t which) {
    const bool exclusive = holders_[which]->exclusive;
    holders_.erase(holders_.begin() + static_cast<std::ptrdiff_t>(which));  // joins it: it has unlocked
    if (!holders_.empty()) return;
    if (exclusive && admit_readers()) return;
    admit_writer();
    ASSERT_TRUE(!holders_.empty() || queue_.empty());
  }

  director d_;
  Lock lock_;
  std::deque<actor_ptr> queue_;
  std::deque<bool> queue_exclusive_;  // of the same actors, which may not have got so far
  std::vector<actor_ptr> holders_;
};

TEST(LocksModel, Mutex) {
  const std::uint64_t seed = seed_of_this_run();
  baton::run([=] { locks_model<baton::mutex>(seed).play(2'000); });
}

TEST(LocksModel, SharedMutex) {
  const std::uint64_t seed = seed_of_this_run();
  baton::run([=] { locks_model<baton::shared_mutex>(seed).play(2'000); });
}

// ---- condition_variable ----

TEST(LocksModel, ConditionVariable) {
  baton::run([] {
    director d(seed_of_this_run());
    baton::mutex m;
    baton::condition_variable c;
    std::deque<actor_ptr> queue;
    const auto arrive = [&](bool timed, std::chrono::nanoseconds patience) {
      queue.push_back(std::make_unique<actor>([&, timed, patience](actor& self) {
        std::unique_lock lock(m);
        self.watch.about_to_wait();
        self.ok = true;
        if (timed) {
          self.ok = c.wait_for(lock, patience) == std::cv_status::no_timeout;
        } else {
          c.wait(lock);
        }
        EXPECT_TRUE(lock.owns_lock());
      }));
      if (patience != soon) queue.back()->watch.await_parked();
    };
    const auto serve = [&](std::size_t n) {
      for (; n > 0 && !queue.empty(); --n) {
        must_get_through(*queue.front());
        EXPECT_TRUE(queue.front()->ok);
        queue.pop_front();
      }
    };
    for (int i = 0; i < 3'000; ++i) {
      if (d.chance(2)) arrive(d.chance(2), 1h);
      if (d.chance(3)) {
        c.notify_one();
        serve(1);
      }
      if (d.chance(12)) {
        c.notify_all();
        serve(queue.size());
      }
      if (d.chance(16)) {
        const auto before = static_cast<std::ptrdiff_t>(queue.size());
        arrive(true, soon);
        arrive(false, 1h);
        must_get_through(*queue[static_cast<std::size_t>(before)]);
        ASSERT_FALSE(queue[static_cast<std::size_t>(before)]->ok);
        queue.erase(queue.begin() + before);
      }
      must_wait(queue);
    }
    c.notify_all();
    serve(queue.size());
  });
}

// ---- channel ----

TEST(LocksModel, Channel) {
  baton::run([] {
    director d(seed_of_this_run());
    for (int round = 0; round < 60; ++round) {
      const baton::channel<long> c(d.below(4));
      std::deque<long> values;
      std::deque<actor_ptr> senders;
      std::deque<actor_ptr> receivers;
      long next = 0;
      const auto sent = [&](actor& a) {
        must_get_through(a);
        EXPECT_TRUE(a.ok);
      };
      const auto got = [&](actor& a, std::optional<long> expected) {
        must_get_through(a);
        EXPECT_EQ(a.received, expected);
      };
      // Returns what a receive gets now, and lets the sender that moves up through.
      const auto next_value = [&]() -> std::optional<long> {
        if (values.empty() && senders.empty()) return std::nullopt;
        if (!senders.empty()) {
          values.push_back(senders.front()->wanted);
          sent(*senders.front());
          senders.pop_front();
        }
        const long v = values.front();
        values.pop_front();
        return v;
      };
      const auto send = [&] {
        const long v = next++;
        auto a = std::make_unique<actor>([&c, v](actor& self) {
          self.watch.about_to_wait();
          self.ok = c.send(v);
        });
        a->wanted = v;
        if (!receivers.empty()) {
          sent(*a);
          got(*receivers.front(), v);
          receivers.pop_front();
        } else if (values.size() < c.capacity()) {
          sent(*a);
          values.push_back(v);
        } else {
          a->watch.await_parked();
          senders.push_back(std::move(a));
        }
      };
      const auto receive = [&] {
        auto a = std::make_unique<actor>([&c](actor& self) {
          self.watch.about_to_wait();
          self.received = c.receive();
        });
        if (values.empty() && senders.empty()) {
          a->watch.await_parked();
          receivers.push_back(std::move(a));
        } else {
          must_get_through(*a);
          EXPECT_EQ(a->received, next_value());
        }
      };
      for (int i = 0; i < 60; ++i) {
        switch (d.below(5)) {
          case 0: send(); break;
          case 1: receive(); break;
          case 2: {
            const bool direct = !receivers.empty();
            const bool can = direct || values.size() < c.capacity();
            ASSERT_EQ(c.try_send(next), can ? baton::channel_status::ok : baton::channel_status::would_block);
            if (direct) {
              got(*receivers.front(), next);
              receivers.pop_front();
            } else if (can) {
              values.push_back(next);
            }
            ++next;
            break;
          }
          case 3: {
            std::optional<long> v;
            const bool can = !values.empty() || !senders.empty();
            ASSERT_EQ(c.try_receive(v), can ? baton::channel_status::ok : baton::channel_status::would_block);
            ASSERT_EQ(v, next_value());
            break;
          }
          default:
            if (values.size() == c.capacity() && receivers.empty()) {
              ASSERT_EQ(c.send_for(next++, d.chance(2) ? 0us : 50us), baton::channel_status::timeout);
            }
            break;
        }
        ASSERT_EQ(c.size(), values.size());
        must_wait(senders);
        must_wait(receivers);
      }
      ASSERT_TRUE(c.close());
      for (auto& a : receivers) got(*a, std::nullopt);
      for (auto& a : senders) {
        must_get_through(*a);
        EXPECT_FALSE(a->ok);
      }
      senders.clear();
      for (std::optional<long> v; (v = c.receive());) ASSERT_EQ(v, next_value());
      EXPECT_TRUE(values.empty());
    }
  });
}

}  // namespace
