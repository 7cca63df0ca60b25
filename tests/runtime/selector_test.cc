#include "parked.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/select.h>
#include <baton/runtime/selector.h>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::channel;
using baton::on_done;
using baton::on_receive;
using baton::on_send;
using baton::on_timeout;
using baton::otherwise;
using baton::selector;
using baton::when;
using baton::test::watched_agent;
using clock_type = std::chrono::steady_clock;

const auto nothing = [](auto&&...) {};
const auto wrong = [](auto&&...) { ADD_FAILURE() << "the wrong case was chosen"; };

TEST(Selector, RunsOneCaseAWait) {
  const channel<int> a(4);
  const channel<int> b(4);
  int sum = 0;
  selector s;
  s.add(on_receive(a, [&](auto v) { sum += *v; }));
  s.add(on_receive(b, [&](auto v) { sum += 10 * *v; }));
  a.send(1);
  EXPECT_EQ(s.wait(), 0U);
  b.send(2);
  EXPECT_EQ(s.wait(), 1U);
  EXPECT_EQ(sum, 21);
  EXPECT_EQ(s.wait_for(0ms), std::nullopt);
  EXPECT_EQ(s.wait_for(-1h), std::nullopt);
  const auto begin = clock_type::now();
  EXPECT_EQ(s.wait_for(2ms), std::nullopt);
  EXPECT_GE(clock_type::now() - begin, 2ms);
  EXPECT_EQ(s.wait_until(clock_type::now() + 100us), std::nullopt);
  a.send(3);
  EXPECT_EQ(s.wait_for(-1h), 0U) << "what can be done at once is done";
  EXPECT_EQ(sum, 24);
}

TEST(Selector, IndicesStayWhenOthersAreRemoved) {
  const std::vector<channel<int>> c{channel<int>(1), channel<int>(1), channel<int>(1), channel<int>(1)};
  selector s;
  for (const auto& each : c) s.add(on_receive(each, nothing));
  s.remove(1);
  s.remove(1);
  s.remove(17);
  c[1].send(1);
  EXPECT_EQ(s.wait_for(0ms), std::nullopt);
  for (const std::size_t i : {3U, 0U, 2U}) {
    c[i].send(1);
    EXPECT_EQ(s.wait(), i);
  }
  EXPECT_EQ(s.add(on_receive(c[1], nothing)), 4U);
  EXPECT_EQ(s.wait(), 4U);
  for (std::size_t i = 0; i < 5; ++i) s.remove(i);
  c[0].send(1);
  EXPECT_EQ(s.wait_for(0ms), std::nullopt);
}

TEST(Selector, AllKindsOfCases) {
  const auto ctx = baton::with_cancel(baton::context::background());
  selector s;
  s.add(on_done(ctx, nothing));
  s.add(on_timeout(1h, wrong));
  s.add(on_timeout(1ms, nothing));
  s.add(when(false, otherwise(wrong)));
  EXPECT_EQ(s.wait(), 2U);
  EXPECT_EQ(s.wait(), 2U) << "the time counts from each wait";
  EXPECT_EQ(s.wait_for(10us), std::nullopt);
  s.add(otherwise(nothing));
  EXPECT_EQ(s.wait(), 4U);
  ctx.cancel();
  EXPECT_EQ(s.wait(), 0U);
}

TEST(Selector, OwnsWhatItsCasesNeed) {
  baton::run([] {
    selector s;
    const channel<std::string> out(3);
    {
      const channel<int> in(1);
      in.send(5);
      s.add(on_receive(in, [](auto v) { EXPECT_EQ(v, 5); }));
      const std::string text(100, 'x');
      s.add(on_send(channel<std::string>(out), text, [](bool sent) { EXPECT_TRUE(sent); }));
      const auto ctx = baton::with_cancel(baton::context::background());
      ctx.cancel();
      s.add(on_done(ctx, nothing));
    }
    std::vector<int> chosen(3);
    while (chosen[0] == 0 || chosen[1] < 3) ++chosen.at(s.wait());
    EXPECT_EQ(chosen[0], 1);
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(out.receive(), std::string(100, 'x')) << "a value to be copied is sent each time";
    s.remove(2);
    s.remove(1);
    EXPECT_EQ(s.wait_for(0ms), std::nullopt);
  });
}

TEST(Selector, AValueToBeMovedIsSentOnce) {
  const channel<std::unique_ptr<int>> c(3);
  const channel<std::unique_ptr<int>> full;
  const channel<int> numbers(3);
  selector s;
  auto value = std::make_unique<int>(7);
  s.add(on_send(c, std::move(value), [](bool sent) { EXPECT_TRUE(sent); }));
  EXPECT_EQ(value, nullptr) << "the selector owns it";
  s.add(on_send(full, std::make_unique<int>(1), wrong));
  EXPECT_EQ(s.wait(), 0U);
  EXPECT_EQ(*c.receive().value(), 7);
  EXPECT_EQ(s.wait_for(0ms), std::nullopt);
  EXPECT_EQ(c.size(), 0U);
  s.add(on_send(numbers, 9, nothing));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(s.wait(), 2U);
  EXPECT_EQ(s.wait_for(0ms), std::nullopt);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(numbers.receive(), 9);
  s.remove(2);
  c.close();
  s.add(on_send(c, std::make_unique<int>(8), [](bool sent) { EXPECT_FALSE(sent); }));
  EXPECT_EQ(s.wait_for(0ms), 3U);
}

TEST(Selector, AFunctionMayChangeItsSelector) {
  baton::run([] {
    selector s;
    std::vector<channel<int>> in;
    int closed = 0;
    int sum = 0;
    // Each case receives until its channel is closed, then removes itself. One of them adds another channel.
    const auto listen = [&](const channel<int>& c) {
      auto index = std::make_shared<std::size_t>();
      *index = s.add(on_receive(c, [&, index](auto v) {
        if (v) {
          sum += *v;
          return;
        }
        s.remove(*index);
        EXPECT_EQ(index.use_count(), 1) << "the function lives while it runs";
        ++closed;
      }));
    };
    for (int i = 0; i < 20; ++i) in.emplace_back(static_cast<std::size_t>(i % 3));
    for (const auto& c : in) listen(c);
    const channel<channel<int>> more(1);
    s.add(on_receive(more, [&](auto c) {
      if (c) listen(*c);
    }));
    more.send(channel<int>(3));
    std::vector<baton::fiber<void>> senders;
    for (const auto& c : in) {
      senders.push_back(baton::spawn([=] {
        for (int i = 1; i <= 50; ++i) c.send(i);
        c.close();
      }));
    }
    while (closed < 20) (void)s.wait();
    for (auto& f : senders) f.join();
    EXPECT_EQ(sum, 20 * 1275);
  });
}

TEST(Selector, AFunctionMayWaitOnItsSelectorAndThrow) {
  const channel<int> c(4);
  int depth = 0;
  selector s;
  s.add(on_receive(c, [&](auto v) {
    ++depth;
    if (*v < 3) (void)s.wait();
    if (*v == 3) throw std::runtime_error("deep");
  }));
  for (int i = 1; i <= 4; ++i) c.send(i);
  EXPECT_THROW(s.wait(), std::runtime_error);
  EXPECT_EQ(depth, 3);
  EXPECT_EQ(s.wait(), 0U);
  EXPECT_EQ(depth, 4);
}

TEST(Selector, ManyCasesWithManySenders) {
  baton::run([] {
    constexpr std::size_t channels = 100;
    constexpr int each = 30;
    std::vector<channel<int>> c;
    std::vector<baton::fiber<void>> senders;
    std::vector<int> received(channels);
    selector s;
    for (std::size_t i = 0; i < channels; ++i) {
      c.emplace_back(i % 2);
      s.add(on_receive(c.back(), [&received, i](auto v) { EXPECT_EQ(v, received[i]++); }));
    }
    for (const auto& one : c) {
      senders.push_back(baton::spawn([one] {
        for (int i = 0; i < each; ++i) one.send(i);
      }));
    }
    for (std::size_t i = 0; i < channels * each; ++i) EXPECT_LT(s.wait(), channels);
    for (auto& f : senders) f.join();
    for (const int n : received) EXPECT_EQ(n, each);
    EXPECT_EQ(s.wait_for(0ms), std::nullopt);
  });
}

TEST(Selector, BlocksAThreadAsWell) {
  const channel<int> c;
  watched_agent watch;
  std::thread waits([&] {
    selector s;
    s.add(on_receive(c, [](auto v) { EXPECT_EQ(v, 4); }));
    EXPECT_EQ(s.wait_for(100us), std::nullopt);
    watch.about_to_wait();
    EXPECT_EQ(s.wait(), 0U);
  });
  baton::run([&] {
    watch.await_parked();
    EXPECT_EQ(c.try_send(4), baton::channel_status::ok);
  });
  waits.join();
}

TEST(Selector, CasesOnOneChannelTakeTurnsAlsoIfItWaits) {
  for (const bool receives : {true, false}) {
    baton::run(
        [receives] {
          const channel<int> c;
          selector s;
          for (int i = 0; i < 3; ++i) {
            if (receives) {
              s.add(on_receive(c, nothing));
            } else {
              s.add(on_send(c, 1, nothing));
            }
          }
          constexpr int rounds = 300;
          std::vector<int> chosen(3);
          for (int i = 0; i < rounds; ++i) {
            watched_agent me;
            const auto peer = baton::spawn([&] {
              me.await_parked();
              if (receives) {
                c.send(1);
              } else {
                static_cast<void>(c.receive());
              }
            });
            me.about_to_wait();
            ++chosen.at(s.wait());
          }
          for (const int n : chosen) EXPECT_GT(n, rounds / 6) << "receives " << receives;
        },
        {.procs = 1});
  }
}

// A case that stays registered with a channel while the selector does not wait takes no element, and stops no other
// agent.
TEST(Selector, BetweenItsWaitsItIsInNobodysWay) {
  baton::run([] {
    const channel<int> c;
    const channel<int> full;
    selector s;
    s.add(on_receive(c, [](auto v) { EXPECT_EQ(v, 3); }));
    s.add(on_send(full, 7, nothing));
    EXPECT_EQ(s.wait_for(0s), std::nullopt);
    EXPECT_EQ(c.try_send(1), baton::channel_status::would_block) << "nobody waits";
    std::optional<int> out;
    EXPECT_EQ(full.try_receive(out), baton::channel_status::would_block);
    EXPECT_EQ(s.wait_for(1us), std::nullopt);
    watched_agent other;
    auto receiver = baton::spawn([&] {
      other.about_to_wait();
      return c.receive();
    });
    other.await_parked();
    EXPECT_EQ(c.try_send(2), baton::channel_status::ok);
    EXPECT_EQ(receiver.join(), 2);
    auto sender = baton::spawn([&] { c.send(3); });
    EXPECT_EQ(s.wait(), 0U);
    sender.join();
    auto taker = baton::spawn([&] { return full.receive(); });
    EXPECT_EQ(s.wait(), 1U);
    EXPECT_EQ(taker.join(), 7);
  });
}

TEST(Selector, NeverMeetsItself) {
  baton::run([] {
    const channel<int> none;
    const channel<int> one(1);
    selector s;
    s.add(on_receive(none, nothing));
    s.add(on_send(none, 1, nothing));
    EXPECT_EQ(s.wait_for(1ms), std::nullopt);
    s.add(on_receive(one, nothing));
    s.add(on_send(one, 1, nothing));
    std::vector<int> chosen(4);
    for (int i = 0; i < 20; ++i) ++chosen.at(s.wait());
    EXPECT_EQ(chosen[2], 10) << "sent into the buffer, and received from there, by turns";
    EXPECT_EQ(chosen[3], 10);
    one.close();
    s.remove(2);
    EXPECT_EQ(s.wait(), 3U);
  });
}

TEST(Selector, TwoSelectorsMeet) {
  baton::run([] {
    const channel<int> c;
    constexpr int rounds = 500;
    auto sender = baton::spawn([c] {
      selector s;
      s.add(on_send(c, 1, nothing));
      s.add(on_receive(channel<int>(), wrong));
      for (int i = 0; i < rounds; ++i) EXPECT_EQ(s.wait(), 0U);
    });
    selector s;
    int sum = 0;
    s.add(on_receive(c, [&](auto v) { sum += *v; }));
    for (int i = 0; i < rounds; ++i) EXPECT_EQ(s.wait(), 0U);
    sender.join();
    EXPECT_EQ(sum, rounds);
  });
}

TEST(Selector, AContextThatIsCancelledMeanwhile) {
  baton::run([] {
    for (int round = 0; round < 100; ++round) {
      const auto top = baton::with_cancel(baton::context::background());
      const auto ctx = baton::with_cancel(top);
      selector s;
      const channel<int> c;
      s.add(on_receive(c, wrong));
      s.add(on_done(ctx, nothing));
      s.add(on_done(baton::context::background(), wrong));
      if (round % 2 == 0) {
        EXPECT_EQ(s.wait_for(0s), std::nullopt);
      }
      const auto canceller = baton::spawn([&] { top.cancel(); });
      EXPECT_EQ(s.wait(), 1U);
      EXPECT_EQ(s.wait(), 1U) << "from then on it is ready";
      s.remove(1);
      EXPECT_EQ(s.wait_for(0s), std::nullopt);
    }
  });
}

// If a wait checked all cases, or a removal moved the others, this would take minutes.
TEST(Selector, AWaitCostsWhatIsReady) {
  baton::run([] {
    constexpr std::size_t cases = 50'000;
    std::vector<channel<int>> c;
    selector s;
    std::size_t got = 0;
    for (std::size_t i = 0; i < cases; ++i) {
      c.emplace_back(1);
      s.add(on_receive(c.back(), [&got](auto v) { got += v ? 1 : 0; }));
    }
    EXPECT_EQ(s.wait_for(0s), std::nullopt);
    for (std::size_t i = 0; i < 2 * cases; ++i) {
      const std::size_t at = i * 7919 % cases;
      c[at].send(1);
      ASSERT_EQ(s.wait(), at);
    }
    EXPECT_EQ(got, 2 * cases);
    for (std::size_t i = 0; i < cases; ++i) s.remove(i * 7919 % cases);
    c[5].send(1);
    EXPECT_EQ(s.wait_for(0s), std::nullopt);
  });
}

// Senders, receivers, closes, cancels and the clock run while cases are added and removed.
TEST(Selector, NothingIsLostWhateverHappensMeanwhile) {
  baton::run([] {
    constexpr int channels = 8;
    constexpr int each = 400;
    std::vector<channel<int>> in;
    std::vector<channel<int>> out;
    for (int i = 0; i < channels; ++i) {
      in.emplace_back(static_cast<std::size_t>(i % 3));
      out.emplace_back(static_cast<std::size_t>(i % 2));
    }
    std::vector<baton::fiber<void>> others;
    std::atomic<int> received{0};
    std::atomic<int> taken_by_others{0};
    for (int i = 0; i < channels; ++i) {
      const auto n = static_cast<std::size_t>(i);
      others.push_back(baton::spawn([c = in[n]] {
        for (int k = 0; k < each; ++k) {
          if (k % 3 != 0 || c.try_send(1) != baton::channel_status::ok) c.send(1);
        }
        c.close();
      }));
      others.push_back(baton::spawn([&received, c = out[n], i] {
        for (int k = 0; k < each; ++k) {
          std::optional<int> v;
          if (i % 2 == 0) {
            v = c.receive();
          } else {
            baton::select(on_receive(c, [&](auto got) { v = got; }));
          }
          received += *v;
        }
        c.close();
      }));
    }
    others.push_back(baton::spawn([&taken_by_others, c = in[0]] {
      for (int k = 0; k < each / 4; ++k) {
        std::optional<int> v;
        if (c.receive_for(v, 100us) == baton::channel_status::ok) ++taken_by_others;
      }
    }));
    selector s;
    int got = 0;
    int open = 2 * channels;
    int sent = 0;
    for (int i = 0; i < channels; ++i) {
      const auto n = static_cast<std::size_t>(i);
      auto at = std::make_shared<std::size_t>();
      *at = s.add(on_receive(in[n], [&, at](auto v) {
        got += v ? *v : 0;
        if (v) return;
        s.remove(*at);
        --open;
      }));
      auto to = std::make_shared<std::size_t>();
      *to = s.add(on_send(out[n], 1, [&, to](bool ok) {
        sent += ok ? 1 : 0;
        if (ok) return;
        s.remove(*to);
        --open;
      }));
    }
    while (open > 0) {
      const auto ctx = baton::with_cancel(baton::context::background());
      const std::size_t extra = s.add(on_done(ctx, wrong));
      static_cast<void>(s.wait_for(50us));
      s.remove(extra);
      ctx.cancel();
    }
    for (auto& f : others) f.join();
    EXPECT_EQ(got + taken_by_others, channels * each);
    EXPECT_GE(sent, received);
    EXPECT_EQ(received, channels * each);
  });
}

}  // namespace
