// What programs that are written for Go's channels and select rely on, under races, after the tests that Go has for its
// own. channel_test.cc and select_test.cc test the single properties.
#include "parked.h"
#include "seed.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/select.h>
#include <baton/runtime/selector.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::channel;
using baton::channel_status;
using baton::on_done;
using baton::on_receive;
using baton::on_send;
using baton::on_timeout;
using baton::otherwise;
using baton::select;
using baton::when;
using baton::test::seed_of_this_run;
using baton::test::watched_agent;

const auto nothing = [](auto&&...) {};
const auto wrong = [](auto&&...) { ADD_FAILURE() << "the wrong case was chosen"; };

// A receive that does not wait runs beside a close of the channel: it never misses an element.
TEST(ChannelConformance, ReceiveWithoutWaitingRacesWithClose) {
  baton::run([] {
    for (int round = 0; round < 5'000; ++round) {
      const channel<int> c(1);
      c.send(1);
      auto receiver = baton::spawn([=] {
        if (round % 2 == 0) {
          std::optional<int> out;
          return c.try_receive(out) == channel_status::ok;
        }
        return select(on_receive(c, [](auto v) { EXPECT_EQ(v, 1); }), otherwise(nothing)) == 0;
      });
      c.close();
      EXPECT_TRUE(receiver.join()) << "round " << round;
      EXPECT_EQ(c.receive(), std::nullopt);
    }
  });
}

// One of two channels is never empty, so an agent that checks both at once must not see both empty. In the select many
// other cases are between them, so that checking one after the other would take some time.
TEST(ChannelConformance, AskingManyChannelsIsAboutOneMoment) {
  baton::run([] {
    constexpr int rounds = 150;
    const channel<int> a(1);
    const channel<int> b(1);
    const channel<int> ask;
    std::atomic<int> asked{0};
    std::atomic<int> moved{0};
    std::thread moves([&] {
      std::optional<int> out;
      for (int round = 1; round <= rounds; ++round) {
        EXPECT_EQ(a.try_send(1), channel_status::ok);
        ask.send(round);
        while (asked < round) {
          (void)b.try_send(1);
          (void)a.try_receive(out);
          (void)a.try_send(1);
          (void)b.try_receive(out);
          ++moved;
        }
        (void)a.try_receive(out);
      }
      ask.close();
    });
    int neither = 0;
    baton::selector s;
    s.add(on_receive(a, nothing));
    for (int i = 0; i < 200; ++i) s.add(on_receive(channel<int>(), wrong));
    s.add(on_receive(b, nothing));
    s.add(otherwise([&] { ++neither; }));
    for (const int round : ask) {
      for (const int before = moved; moved < before + 3;) baton::this_fiber::yield();
      (void)s.wait();
      asked = round;
    }
    EXPECT_EQ(neither, 0);
    moves.join();
  });
}

// Two fibers both offer and accept on one channel: each value goes to the other fiber.
TEST(ChannelConformance, SelectNeverGetsItsOwnValue) {
  baton::run([] {
    for (const std::size_t capacity : {0U, 10U}) {
      const channel<int> c(capacity);
      std::vector<baton::fiber<std::size_t>> fibers;
      for (int me = 0; me < 2; ++me) {
        fibers.push_back(baton::spawn([=] {
          std::size_t got = 0;
          const auto take = [&](std::optional<int> v) {
            ++got;
            if (capacity == 0) {
              EXPECT_NE(v, me);
            }
          };
          for (int i = 0; i < 1'000; ++i) {
            if (me == 0) {
              select(on_receive(c, take), on_send(c, me, nothing));
            } else {
              select(on_send(c, me, nothing), on_receive(c, take));
            }
          }
          return got;
        }));
      }
      std::size_t got = 0;
      for (auto& f : fibers) got += f.join();
      EXPECT_EQ(2 * got + c.size(), 2'000U) << "each select is one send or one receive";
    }
  });
}

// Each of four channels, two of them with room, has one fiber that only sends and one that only receives. Two more
// fibers select among all sends, and all receives.
TEST(ChannelConformance, TenFibersOverFourChannels) {
  baton::run([] {
    constexpr int n = 5'000;
    const std::array<channel<int>, 4> c{channel<int>(), channel<int>(), channel<int>(2), channel<int>(3)};
    std::vector<baton::fiber<void>> fibers;
    for (const auto& one : c) {
      fibers.push_back(baton::spawn([one] {
        for (int i = 0; i < n; ++i) EXPECT_TRUE(one.send(i));
      }));
      fibers.push_back(baton::spawn([one] {
        for (int i = 0; i < n; ++i) EXPECT_TRUE(one.receive().has_value());
      }));
    }
    fibers.push_back(baton::spawn([&c] {
      std::array<int, 4> left{n, n, n, n};
      const auto put = [&](std::size_t k) {
        return when(left.at(k) > 0, on_send(c.at(k), 0, [](bool sent) { EXPECT_TRUE(sent); }));
      };
      for (int i = 0; i < 4 * n; ++i) --left.at(select(put(0), put(1), put(2), put(3)));
    }));
    fibers.push_back(baton::spawn([&c] {
      std::array<int, 4> left{n, n, n, n};
      const auto take = [&](std::size_t k) {
        return when(left.at(k) > 0, on_receive(c.at(k), [](auto v) { EXPECT_TRUE(v.has_value()); }));
      };
      for (int i = 0; i < 4 * n; ++i) --left.at(select(take(0), take(1), take(2), take(3)));
    }));
    for (auto& f : fibers) f.join();
    for (const auto& one : c) EXPECT_EQ(one.size(), 0U);
  });
}

TEST(ChannelConformance, ManyConsumersOfOneChannel) {
  baton::run([] {
    constexpr std::size_t consumers = 23;
    constexpr long items = 271'828;
    constexpr std::array<long, 8> primes{2, 3, 7, 11, 13, 17, 19, 23};
    const channel<long> work(3 * consumers);
    const channel<long> done(2 * consumers);
    for (std::size_t i = 0; i < consumers; ++i) {
      baton::go([=] {
        for (const long v : work) {
          if (v % 23 == static_cast<long>(i)) baton::this_fiber::yield();
          done.send(v);
        }
        done.send(0);
      });
    }
    auto producer = baton::spawn([=] {
      long sum = 0;
      for (long i = 0; i < items; ++i) {
        const long v = primes.at(static_cast<std::size_t>(i) % primes.size());
        sum += v;
        EXPECT_TRUE(work.send(v));
      }
      work.close();
      return sum;
    });
    long sum = 0;
    long count = 0;
    for (std::size_t ended = 0; ended < consumers;) {
      const long v = done.receive().value();
      if (v == 0) {
        ++ended;
        continue;
      }
      sum += v;
      ++count;
    }
    EXPECT_EQ(sum, producer.join());
    EXPECT_EQ(count, items);
  });
}

TEST(ChannelConformance, BothOfTwoEqualSendsAreChosen) {
  baton::run([] {
    for (const std::size_t capacity : {0U, 1U, 8U}) {
      constexpr int n = 400;
      const channel<int> c(capacity);
      auto receiver = baton::spawn([=] {
        std::array<int, 2> got{};
        for (const int v : c) ++got.at(static_cast<std::size_t>(v));
        return got;
      });
      for (int i = 0; i < n; ++i) select(on_send(c, 0, nothing), on_send(c, 1, nothing));
      c.close();
      for (const int count : receiver.join()) EXPECT_GT(count, n / 10) << capacity;
    }
  });
}

// A waiter in the middle of a queue leaves: the others are still served, in order.
TEST(ChannelConformance, ALoserInTheMiddleOfAQueue) {
  baton::run([] {
    constexpr std::size_t n = 5;
    for (std::size_t leaves = 0; leaves < n; ++leaves) {
      const channel<std::size_t> c;
      std::vector<channel<std::size_t>> own(n);
      std::deque<watched_agent> watch(n);
      std::vector<baton::fiber<std::optional<std::size_t>>> waiting;
      for (std::size_t i = 0; i < n; ++i) {
        waiting.push_back(baton::spawn([&, i] {
          std::optional<std::size_t> got;
          const auto take = [&](auto v) { got = v; };
          watch[i].about_to_wait();
          select(on_receive(c, take), on_receive(own[i], take), on_receive(c, take));
          return got;
        }));
        watch[i].await_parked();
      }
      EXPECT_TRUE(own[leaves].send(100));
      EXPECT_EQ(waiting[leaves].join(), 100U);
      for (std::size_t i = 0; i < n; ++i) {
        if (i == leaves) continue;
        EXPECT_EQ(c.try_send(i), channel_status::ok);
        EXPECT_EQ(waiting[i].join(), i);
      }
      EXPECT_EQ(c.try_send(0), channel_status::would_block);
    }
  });
}

TEST(ChannelConformance, CloseRacesWithSelects) {
  baton::run([] {
    for (int round = 0; round < 500; ++round) {
      const channel<int> c(static_cast<std::size_t>(round % 3));
      const channel<int> in;   // without a sender
      const channel<int> out;  // without a receiver
      std::atomic<int> sent{0};
      std::atomic<int> received{0};
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 3; ++i) {
        fibers.push_back(baton::spawn([&] {
          bool open = true;
          while (open) {
            select(on_receive(in, wrong), on_send(c, 1, [&](bool ok) { (open = ok) ? ++sent : 0; }));
          }
        }));
        fibers.push_back(baton::spawn([&] {
          bool open = true;
          while (open) {
            select(on_receive(c, [&](auto v) { (open = v.has_value()) ? ++received : 0; }), on_send(out, 1, wrong));
          }
        }));
      }
      fibers.push_back(baton::spawn([&] {
        for (int i = 0; i < round % 20; ++i) baton::this_fiber::yield();
        EXPECT_TRUE(c.close());
      }));
      for (auto& f : fibers) f.join();
      EXPECT_EQ(sent, received) << "round " << round;
      EXPECT_EQ(c.size(), 0U);
    }
  });
}

// A model of a channel without waiters.
struct modelled_channel {
  explicit modelled_channel(std::size_t capacity) : real(capacity) {}
  [[nodiscard]] bool can_receive() const { return !queue.empty() || closed; }
  [[nodiscard]] bool can_send() const { return closed || queue.size() < real.capacity(); }

  channel<int> real;
  std::deque<int> queue;
  bool closed = false;
};

TEST(ChannelConformance, SelectsThatDoNotWaitAgreeWithAModel) {
  std::mt19937_64 random(seed_of_this_run());
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::vector<modelled_channel> all;
  for (std::size_t i = 0; i < 4; ++i) all.emplace_back(i);
  for (int round = 0; round < 30'000; ++round) {
    if (below(50) == 0) {
      auto& c = all[below(all.size())];
      EXPECT_EQ(c.real.close(), !c.closed);
      c.closed = true;
    }
    if (below(50) == 0) all[below(all.size())] = modelled_channel(below(4));

    // Cases 0 to 2 receive, 3 to 5 send. A channel may be in several of them.
    std::array<modelled_channel*, 6> of{};
    std::array<bool, 6> enabled{};
    std::set<std::size_t> ready;
    for (std::size_t k = 0; k < 6; ++k) {
      of.at(k) = &all[below(all.size())];
      enabled.at(k) = below(3) != 0;
      if (enabled.at(k) && (k < 3 ? of.at(k)->can_receive() : of.at(k)->can_send())) ready.insert(k);
    }
    std::optional<int> got;
    bool sent = false;
    const auto take = [&](std::size_t k) {
      return when(enabled.at(k), on_receive(of.at(k)->real, [&](auto v) { got = v; }));
    };
    const auto put = [&](std::size_t k) {
      return when(enabled.at(k), on_send(of.at(k)->real, round, [&](bool ok) { sent = ok; }));
    };
    const bool with_timeout = below(2) == 0;
    const std::size_t chosen =
        select(take(0), take(1), take(2), put(3), put(4), put(5), when(with_timeout, on_timeout(0s, nothing)),
               when(!with_timeout, otherwise(nothing)));
    if (chosen >= 6) {
      ASSERT_TRUE(ready.empty()) << "round " << round;
      ASSERT_EQ(chosen, with_timeout ? 6U : 7U);
      continue;
    }
    ASSERT_TRUE(ready.count(chosen) == 1) << "round " << round;
    modelled_channel& c = *of.at(chosen);
    if (chosen >= 3) {
      ASSERT_EQ(sent, !c.closed);
      if (sent) c.queue.push_back(round);
    } else if (c.queue.empty()) {
      ASSERT_EQ(got, std::nullopt);
    } else {
      ASSERT_EQ(got, c.queue.front());
      c.queue.pop_front();
    }
    ASSERT_EQ(c.real.size(), c.queue.size());
  }
}

// What the agents of the next test move, and record.
struct parcel {
  std::size_t sender = 0;
  int number = 0;
  friend bool operator<(const parcel& a, const parcel& b) {
    return a.sender != b.sender ? a.sender < b.sender : a.number < b.number;
  }
};
struct memory {
  std::map<std::size_t, std::vector<parcel>> sent;      // by channel
  std::map<std::size_t, std::vector<parcel>> received;  // by channel, in order
};

// Everything at once: fibers and threads, sends and receives, of channels with and without room, with timeouts, with
// contexts, and without waiting. Each parcel that was sent arrives once. The parcels of one sender in one channel
// arrive at each receiver in order.
TEST(ChannelConformance, RandomSelectsLoseAndDoubleNothing) {
  const std::uint64_t seed = seed_of_this_run();
  const std::vector<channel<parcel>> c{channel<parcel>(), channel<parcel>(), channel<parcel>(1), channel<parcel>(3)};
  constexpr std::size_t agents = 9;
  constexpr std::size_t threads = 3;
  std::vector<memory> memories(agents);
  const auto live = [&](std::size_t me) {
    std::mt19937_64 random(seed + me);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    memory& mine = memories[me];
    auto ctx = baton::with_cancel(baton::context::background());
    for (int i = 0; i < 1'500; ++i) {
      const std::array<std::size_t, 4> of{below(4), below(4), below(4), below(4)};
      const parcel next{me, i};
      const auto take = [&](std::size_t k) {
        return on_receive(c[of.at(k)],
                          [&, k](std::optional<parcel> p) { mine.received[of.at(k)].push_back(p.value()); });
      };
      const auto put = [&](std::size_t k) {
        return on_send(c[of.at(k)], next, [&, k](bool ok) {
          EXPECT_TRUE(ok);
          mine.sent[of.at(k)].push_back(next);
        });
      };
      // Ends the wait if nothing else does.
      const std::size_t end = below(4);
      std::optional<baton::fiber<void>> canceller;
      if (end == 2) canceller = baton::spawn([ctx] { ctx.cancel(); });
      select(take(0), when(below(2) == 0, take(1)), put(2), when(below(2) == 0, put(3)),
             when(end == 0, otherwise(nothing)),
             when(end == 1, on_timeout(std::chrono::microseconds(below(40)), nothing)),
             when(end == 2, on_done(ctx, nothing)), when(end == 3, on_timeout(0s, nothing)));
      if (end == 2) {
        canceller->join();
        ctx = baton::with_cancel(baton::context::background());
      }
    }
  };
  baton::run([&] {
    std::vector<std::thread> outside;
    std::vector<baton::fiber<void>> inside;
    for (std::size_t i = 0; i < agents; ++i) {
      if (i < threads) {
        outside.emplace_back(live, i);
      } else {
        inside.push_back(baton::spawn(live, i));
      }
    }
    for (auto& f : inside) f.join();
    for (auto& t : outside) baton::blocking([&] { t.join(); });
  });

  for (std::size_t k = 0; k < c.size(); ++k) {
    std::vector<parcel> sent;
    std::vector<parcel> received;
    for (memory& m : memories) {
      std::map<std::size_t, int> last;
      for (const parcel& p : m.received[k]) {
        const auto [at, first] = last.emplace(p.sender, -1);
        EXPECT_LT(at->second, p.number) << "from " << p.sender << " in channel " << k;
        at->second = p.number;
        received.push_back(p);
      }
      sent.insert(sent.end(), m.sent[k].begin(), m.sent[k].end());
    }
    for (std::optional<parcel> p; c[k].try_receive(p) == channel_status::ok;) received.push_back(*p);
    std::sort(sent.begin(), sent.end());
    std::sort(received.begin(), received.end());
    ASSERT_EQ(sent.size(), received.size()) << "channel " << k;
    EXPECT_GT(sent.size(), 0U);
    for (std::size_t i = 0; i < sent.size(); ++i) {
      ASSERT_TRUE(sent[i].sender == received[i].sender && sent[i].number == received[i].number) << "channel " << k;
    }
  }
}

}  // namespace
