#include "parked.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::channel;
using baton::channel_status;
using baton::test::watched_agent;

// Counts its live objects, and records whether it was moved from.
struct counted {
  explicit counted(int v) noexcept : value(v) { ++live; }
  counted(counted&& other) noexcept : value(other.value), moved(other.moved) {
    other.moved = true;
    ++live;
  }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  ~counted() { --live; }
  int value;
  bool moved = false;
  static inline std::atomic<int> live{0};
};

TEST(Channel, IsAHandle) {
  const channel<int> a(2);
  const channel<int> b = a;
  channel<int> c;
  EXPECT_FALSE(a == c);
  c = b;
  EXPECT_TRUE(a == c);
  EXPECT_EQ(c.capacity(), 2U);
  EXPECT_EQ(channel<int>().capacity(), 0U);
  EXPECT_TRUE(a.send(1));
  EXPECT_EQ(b.size(), 1U);
  EXPECT_EQ(c.receive(), 1);
  EXPECT_TRUE(c.close());
  EXPECT_TRUE(a.is_closed());
  EXPECT_FALSE(b.close());
}

struct nested {
  channel<std::unique_ptr<nested>> inner{3};
};

// The handle that is assigned lies in an element of the channel that the assignment ends.
TEST(Channel, IsAssignedFromAnElementOfItsOwn) {
  channel<std::unique_ptr<nested>> c(1);
  auto element = std::make_unique<nested>();
  const auto& inner = element->inner;
  const auto* const core = inner.core();
  ASSERT_TRUE(c.send(std::move(element)));
  c = inner;
  EXPECT_EQ(c.core(), core);
  EXPECT_EQ(c.capacity(), 3U);
}

TEST(Channel, KeepsTheOrder) {
  baton::run([] {
    for (const std::size_t capacity : {0U, 1U, 3U, 128U}) {
      const channel<int> c(capacity);
      auto sender = baton::spawn([=] {
        for (int i = 0; i < 2'000; ++i) EXPECT_TRUE(c.send(i));
        c.close();
      });
      int expected = 0;
      while (const auto v = c.receive()) EXPECT_EQ(*v, expected++);
      EXPECT_EQ(expected, 2'000);
      sender.join();
    }
  });
}

TEST(Channel, TryNeverWaits) {
  const channel<std::string> c(1);
  std::optional<std::string> out = "before";
  EXPECT_EQ(c.try_receive(out), channel_status::would_block);
  EXPECT_FALSE(out.has_value());
  std::string text(100, 'x');
  EXPECT_EQ(c.try_send(text), channel_status::ok);
  EXPECT_EQ(text.size(), 100U) << "an lvalue is copied";
  EXPECT_EQ(c.try_send(std::move(text)), channel_status::would_block);
  EXPECT_EQ(text.size(), 100U) << "a value that was not sent is not moved from";
  EXPECT_EQ(c.send_for(std::move(text), 1ms), channel_status::timeout);
  EXPECT_EQ(text.size(), 100U);
  EXPECT_EQ(c.try_receive(out), channel_status::ok);
  EXPECT_EQ(out, std::string(100, 'x'));
  EXPECT_EQ(c.try_send(std::move(text)), channel_status::ok);
  EXPECT_TRUE(text.empty());
  c.close();
  text = std::string(50, 'y');
  EXPECT_EQ(c.try_send(std::move(text)), channel_status::closed);
  EXPECT_EQ(c.send_for(std::move(text), 1ms), channel_status::closed);
  EXPECT_EQ(text.size(), 50U);
  EXPECT_EQ(c.try_receive(out), channel_status::ok);
  EXPECT_EQ(c.try_receive(out), channel_status::closed);
}

TEST(Channel, TryMeetsThoseWhoWait) {
  baton::run([] {
    const channel<int> c;
    EXPECT_EQ(c.try_send(1), channel_status::would_block);
    watched_agent waiter;
    auto receiver = baton::spawn([&] {
      waiter.about_to_wait();
      return c.receive();
    });
    waiter.await_parked();
    EXPECT_EQ(c.try_send(7), channel_status::ok);
    EXPECT_EQ(receiver.join(), 7);

    watched_agent waiting_sender;
    auto sender = baton::spawn([&] {
      waiting_sender.about_to_wait();
      return c.send(8);
    });
    waiting_sender.await_parked();
    std::optional<int> out;
    EXPECT_EQ(c.try_receive(out), channel_status::ok);
    EXPECT_EQ(out, 8);
    EXPECT_TRUE(sender.join());
  });
}

TEST(Channel, WhoWaitsIsServedInOrder) {
  baton::run([] {
    constexpr std::size_t n = 6;
    const channel<std::size_t> c;
    std::deque<watched_agent> watch(2 * n);
    std::vector<baton::fiber<std::optional<std::size_t>>> receivers;
    for (std::size_t i = 0; i < n; ++i) {
      receivers.push_back(baton::spawn([&, i] {
        watch[i].about_to_wait();
        return c.receive();
      }));
      watch[i].await_parked();
    }
    for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(c.try_send(i), channel_status::ok);
    for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(receivers[i].join(), i);

    std::vector<baton::fiber<bool>> senders;
    for (std::size_t i = 0; i < n; ++i) {
      senders.push_back(baton::spawn([&, i] {
        watch[n + i].about_to_wait();
        return c.send(i);
      }));
      watch[n + i].await_parked();
    }
    for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(c.receive(), i);
    for (auto& s : senders) EXPECT_TRUE(s.join());
  });
}

TEST(Channel, AFullRingAndItsWaitingSendersKeepTheOrder) {
  baton::run([] {
    const channel<int> c(2);
    std::deque<watched_agent> watch(3);
    EXPECT_TRUE(c.send(0));
    EXPECT_TRUE(c.send(1));
    std::vector<baton::fiber<bool>> senders;
    for (std::size_t i = 0; i < 3; ++i) {
      senders.push_back(baton::spawn([&, i] {
        watch[i].about_to_wait();
        return c.send(static_cast<int>(i) + 2);
      }));
      watch[i].await_parked();
    }
    EXPECT_EQ(c.size(), 2U);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(c.receive(), i);
    for (auto& s : senders) EXPECT_TRUE(s.join());
    EXPECT_EQ(c.size(), 0U);
  });
}

TEST(Channel, CloseWakesEverybodyWhoWaits) {
  baton::run([] {
    std::deque<watched_agent> watch(8);
    const channel<int> empty;
    const channel<int> full(1);
    full.send(1);
    std::vector<baton::fiber<void>> fibers;
    for (std::size_t i = 0; i < 8; ++i) {
      fibers.push_back(baton::spawn([&, i] {
        watch[i].about_to_wait();
        if (i % 4 == 0) {
          EXPECT_EQ(empty.receive(), std::nullopt);
        } else if (i % 4 == 1) {
          EXPECT_FALSE(full.send(2));
        } else if (i % 4 == 2) {
          std::optional<int> out;
          EXPECT_EQ(empty.receive_for(out, std::chrono::hours(1)), channel_status::closed);
        } else {
          EXPECT_EQ(full.send_for(3, std::chrono::hours(1)), channel_status::closed);
        }
      }));
    }
    std::thread outside([&] { EXPECT_EQ(empty.receive(), std::nullopt); });
    for (const auto& w : watch) w.await_parked();
    EXPECT_TRUE(empty.close());
    EXPECT_TRUE(full.close());
    for (auto& f : fibers) f.join();
    outside.join();
    EXPECT_EQ(full.receive(), 1) << "what was sent before can be received";
    EXPECT_EQ(full.receive(), std::nullopt);
    EXPECT_EQ(full.receive(), std::nullopt);
    EXPECT_FALSE(full.send(4));
  });
}

// The senders also close the channel, each after a number of its own sends.
TEST(Channel, CloseRacesWithSendAndReceive) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      const channel<int> c(static_cast<std::size_t>(round % 3));
      std::atomic<int> sent{0};
      std::atomic<int> received{0};
      std::atomic<int> closers{0};
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 3; ++i) {
        fibers.push_back(baton::spawn([&] {
          for (int n = 0; c.send(1); ++n) {
            ++sent;
            if (n == round % 20 && c.close()) ++closers;
          }
        }));
        fibers.push_back(baton::spawn([&] {
          while (c.receive()) ++received;
        }));
      }
      for (auto& f : fibers) f.join();
      EXPECT_EQ(sent.load(), received.load()) << "round " << round;
      EXPECT_EQ(closers.load(), 1);
    }
  });
}

TEST(Channel, ExactSumsWithManyProducersAndConsumers) {
  baton::run([] {
    for (const std::size_t capacity : {0U, 1U, 16U}) {
      const channel<long> c(capacity);
      std::vector<baton::fiber<long>> consumers;
      std::vector<baton::fiber<void>> producers;
      for (int i = 0; i < 8; ++i) {
        producers.push_back(baton::spawn([=] {
          for (long n = 1; n <= 1'000; ++n) EXPECT_TRUE(c.send(n));
        }));
        consumers.push_back(baton::spawn([=] {
          long sum = 0;
          for (const long n : c) sum += n;
          return sum;
        }));
      }
      for (auto& p : producers) p.join();
      c.close();
      long total = 0;
      for (auto& f : consumers) total += f.join();
      EXPECT_EQ(total, 8 * 500'500L);
    }
  });
}

TEST(Channel, BetweenThreadsAndFibers) {
  for (const std::size_t capacity : {0U, 4U}) {
    const channel<long> c(capacity);
    const channel<long> sums(8);
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([=] {
        for (long n = 1; n <= 1'000; ++n) c.send(n);
      });
      threads.emplace_back([=] {
        long sum = 0;
        for (const long n : c) sum += n;
        sums.send(sum);
      });
    }
    long total = 0;
    baton::run([&] {
      auto producer = baton::spawn([=] {
        for (long n = 1; n <= 1'000; ++n) c.send(n);
      });
      auto consumer = baton::spawn([=] {
        long sum = 0;
        for (const long n : c) sum += n;
        return sum;
      });
      producer.join();
      threads[0].join();
      threads[2].join();
      c.close();
      total = consumer.join();
    });
    threads[1].join();
    threads[3].join();
    total += sums.receive().value();
    total += sums.receive().value();
    EXPECT_EQ(total, 3 * 500'500L);
  }
}

TEST(Channel, CarriesMoveOnlyTypes) {
  baton::run([] {
    for (const std::size_t capacity : {0U, 1U, 8U}) {
      const channel<std::unique_ptr<int>> c(capacity);
      auto sender = baton::spawn([=] {
        for (int i = 0; i < 100; ++i) c.send(std::make_unique<int>(i));
        c.close();
      });
      int expected = 0;
      for (auto& p : c) {
        ASSERT_NE(p, nullptr);
        EXPECT_EQ(*p, expected++);
        const std::unique_ptr<int> taken = std::move(p);
      }
      EXPECT_EQ(expected, 100);
      sender.join();
    }
    const channel<std::unique_ptr<int>> full(1);
    full.send(nullptr);
    auto value = std::make_unique<int>(5);
    EXPECT_EQ(full.try_send(std::move(value)), channel_status::would_block);
    EXPECT_EQ(full.send_for(std::move(value), 100us), channel_status::timeout);
    ASSERT_NE(value, nullptr);
    EXPECT_EQ(*value, 5);
  });
}

TEST(Channel, DestroysWhatNobodyReceived) {
  baton::run([] {
    {
      const channel<counted> c(5);
      for (int i = 0; i < 4; ++i) c.send(counted(i));
      (void)c.receive();
      c.send(counted(4));
      c.send(counted(5));  // the ring has wrapped
      EXPECT_EQ(counted::live.load(), 5);
      c.close();
      EXPECT_FALSE(c.send(counted(6)));
      EXPECT_EQ(counted::live.load(), 5);
    }
    EXPECT_EQ(counted::live.load(), 0);
    {
      const channel<counted> c;
      auto sender = baton::spawn([=] { return c.send(counted(7)); });
      {
        const auto v = c.receive();
        EXPECT_EQ(v->value, 7);
        EXPECT_FALSE(v->moved);
      }
      EXPECT_TRUE(sender.join());
    }
    EXPECT_EQ(counted::live.load(), 0);
  });
}

TEST(Channel, ElementsMayBeOveraligned) {
  struct alignas(64) wide {
    std::array<char, 100> text;
  };
  baton::run([] {
    const channel<wide> c(3);
    for (int round = 0; round < 5; ++round) {
      EXPECT_EQ(c.try_send(wide{}), channel_status::ok);
      const auto v = c.receive();
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&*v) % 64, 0U);
    }
  });
}

TEST(Channel, TooLargeACapacityThrows) { EXPECT_THROW(channel<long>(~std::size_t{0} / 2), std::bad_alloc); }

TEST(Channel, TimesOutNotBeforeItsTime) {
  baton::run([] {
    const channel<int> c;
    std::optional<int> out = 1;
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(c.receive_for(out, 3ms), channel_status::timeout);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 3ms);
    EXPECT_FALSE(out.has_value());
    EXPECT_EQ(c.send_for(1, 1ms), channel_status::timeout);
    EXPECT_EQ(c.send_for(1, -1h), channel_status::timeout);
    EXPECT_EQ(c.receive_until(out, std::chrono::steady_clock::now() - 1s), channel_status::timeout);
    EXPECT_EQ(c.send_until(1, std::chrono::system_clock::now() + 1ms), channel_status::timeout);
    std::thread([&] {
      std::optional<int> o;
      EXPECT_EQ(c.receive_for(o, 1ms), channel_status::timeout);
      EXPECT_EQ(c.send_for(1, 1ms), channel_status::timeout);
    }).join();
    const channel<int> ready(1);
    EXPECT_EQ(ready.send_for(1, -1h), channel_status::ok) << "what can be done at once is done";
    EXPECT_EQ(ready.receive_for(out, 0ms), channel_status::ok);
    EXPECT_EQ(c.size(), 0U);
  });
}

TEST(Channel, TimeoutsRaceWithTransfers) {
  baton::run([] {
    for (const std::size_t capacity : {0U, 1U}) {
      const channel<int> c(capacity);
      std::atomic<long> sent{0};
      std::atomic<long> received{0};
      std::vector<baton::fiber<void>> senders;
      std::vector<baton::fiber<void>> receivers;
      for (int i = 0; i < 4; ++i) {
        senders.push_back(baton::spawn([&, i] {
          for (int n = 0; n < 500; ++n) {
            if (c.send_for(1, std::chrono::microseconds((n * 3 + i) % 30)) == channel_status::ok) ++sent;
          }
        }));
        receivers.push_back(baton::spawn([&, i] {
          for (int n = 0;; ++n) {
            std::optional<int> out;
            const auto s = c.receive_for(out, std::chrono::microseconds((n * 5 + i) % 30));
            EXPECT_EQ(out.has_value(), s == channel_status::ok);
            if (s == channel_status::ok) ++received;
            if (s == channel_status::closed) return;
          }
        }));
      }
      for (auto& f : senders) f.join();
      c.close();
      for (auto& f : receivers) f.join();
      EXPECT_EQ(sent.load(), received.load());
    }
  });
}

// The only handle is on the stack of the receiver (or sender), and is destroyed when that returns.
TEST(Channel, MayBeGoneAsSoonAsTheOtherSideReturned) {
  baton::run([] {
    for (int round = 0; round < 1'500; ++round) {
      auto c = std::make_unique<channel<int>>(static_cast<std::size_t>(round % 2));
      auto sender = baton::spawn([p = c.get()] { EXPECT_TRUE(p->send(1)); });
      if (round % 3 == 0) baton::this_fiber::yield();
      EXPECT_EQ(c->receive(), 1);
      if (round % 2 == 0) c.reset();  // unbuffered: send() has nothing left to do with the channel
      sender.join();
      c.reset();

      auto d = std::make_unique<channel<int>>();
      auto receiver = baton::spawn([p = d.get()] { EXPECT_EQ(p->receive(), 2); });
      if (round % 3 == 0) baton::this_fiber::yield();
      EXPECT_TRUE(d->send(2));
      d.reset();
      receiver.join();
    }
  });
}

TEST(Channel, MovesOutAnElementThatIsAnOptional) {
  const channel<std::optional<int>> c(2);
  c.send(std::nullopt);
  c.send(3);
  EXPECT_EQ(c.receive(), std::optional<std::optional<int>>(std::in_place, std::nullopt));
  EXPECT_EQ(c.receive().value(), 3);
}

TEST(Channel, SieveOfPrimes) {
  baton::run([] {
    const auto filter = [](channel<int> in, channel<int> out, int prime) {
      for (const int n : in) {
        if (n % prime != 0 && !out.send(n)) break;
      }
      out.close();
    };
    channel<int> in;
    baton::go([in] {
      for (int n = 2; n < 400; ++n) in.send(n);
      in.close();
    });
    std::vector<int> primes;
    while (const auto prime = in.receive()) {
      primes.push_back(*prime);
      const channel<int> out;
      baton::go(filter, in, out, *prime);
      in = out;
    }
    EXPECT_EQ(primes.size(), 78U);
    EXPECT_EQ(primes.back(), 397);
  });
}

TEST(Channel, NamesItsStatus) {
  EXPECT_STREQ(baton::to_string(channel_status::ok), "ok");
  EXPECT_STREQ(baton::to_string(channel_status::would_block), "would_block");
  EXPECT_STREQ(baton::to_string(channel_status::closed), "closed");
  EXPECT_STREQ(baton::to_string(channel_status::timeout), "timeout");
}

TEST(Channel, ARefusedSendLeavesItsValue) {
  baton::run([] {
    const channel<std::unique_ptr<int>> c;
    auto value = std::make_unique<int>(7);
    watched_agent sender;
    auto waits = baton::spawn([&] {
      sender.about_to_wait();
      return c.send(std::move(value));
    });
    sender.await_parked();
    c.close();
    EXPECT_FALSE(waits.join());
    ASSERT_NE(value, nullptr) << "it waited, and was not sent";
    EXPECT_FALSE(c.send(std::move(value)));
    EXPECT_EQ(channel_status::closed, c.try_send(std::move(value)));
    EXPECT_EQ(channel_status::closed, c.send_for(std::move(value), 1ms));
    ASSERT_NE(value, nullptr);
    EXPECT_EQ(*value, 7);
    const channel<std::string> texts(1);
    const std::string text = "a copy is sent of what is const";
    EXPECT_TRUE(texts.send(text));
    EXPECT_EQ(text, texts.receive());
  });
}

}  // namespace
