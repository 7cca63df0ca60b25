#include "parked.h"

#include <baton/runtime/channel.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/select.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/enter_exit.h>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
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
using baton::select;
using baton::when;
using baton::test::watched_agent;
using clock_type = std::chrono::steady_clock;

const auto nothing = [](auto&&...) {};

// For cases that must not be chosen.
const auto wrong = [](auto&&...) { ADD_FAILURE() << "the wrong case was chosen"; };

TEST(Select, ReturnsTheIndexAmongAllArguments) {
  const channel<int> full(1);
  full.send(5);
  const channel<int> empty(1);
  std::optional<int> got;
  EXPECT_EQ(select(when(false, on_receive(full, wrong)), on_receive(empty, wrong),
                   on_receive(full, [&](auto v) { got = v; })),
            2U);
  EXPECT_EQ(got, 5);
  bool sent = false;
  EXPECT_EQ(select(on_receive(full, wrong), when(true, on_send(empty, 6, [&](bool s) { sent = s; })), otherwise(wrong)),
            1U);
  EXPECT_TRUE(sent);
  EXPECT_EQ(empty.receive(), 6);
  EXPECT_EQ(select(on_receive(full, wrong), on_receive(empty, wrong), otherwise(nothing)), 2U);
  EXPECT_EQ(select(otherwise(nothing)), 0U);
}

TEST(Select, ReceivesAndSendsWithoutWaiting) {
  const channel<std::string> c(2);
  std::string text(100, 'x');
  EXPECT_EQ(select(on_send(c, std::move(text), [](bool sent) { EXPECT_TRUE(sent); })), 0U);
  EXPECT_TRUE(text.empty());
  const std::string other(50, 'y');
  EXPECT_EQ(select(on_send(c, other, [](bool sent) { EXPECT_TRUE(sent); })), 0U);
  EXPECT_EQ(other.size(), 50U);
  for (const std::size_t size : {100U, 50U}) {
    select(on_receive(c, [&](std::optional<std::string> v) { EXPECT_EQ(v.value().size(), size); }));
  }
}

TEST(Select, ClosedChannelsAreReady) {
  const channel<int> c(1);
  c.send(1);
  c.close();
  EXPECT_EQ(select(on_send(c, 2, [](bool sent) { EXPECT_FALSE(sent); })), 0U);
  EXPECT_EQ(select(on_receive(c, [](auto v) { EXPECT_EQ(v, 1); }), otherwise(wrong)), 0U);
  EXPECT_EQ(select(on_receive(c, [](auto v) { EXPECT_EQ(v, std::nullopt); }), otherwise(wrong)), 0U);
}

TEST(Select, ALosingSendLeavesItsValue) {
  baton::run([] {
    const channel<std::unique_ptr<int>> full(1);
    full.send(nullptr);
    const channel<int> other;
    auto value = std::make_unique<int>(7);
    const auto losing = [&](auto winner) {
      select(on_send(full, std::move(value), wrong), std::move(winner));
      ASSERT_NE(value, nullptr);
      EXPECT_EQ(*value, 7);
    };
    losing(otherwise(nothing));
    losing(on_timeout(0ms, nothing));
    losing(on_timeout(1ms, nothing));
    const auto ctx = baton::with_cancel(baton::context::background());
    watched_agent watch;
    auto waker = baton::spawn([&] {
      watch.await_parked();
      other.send(1);
    });
    watch.about_to_wait();
    losing(on_receive(other, nothing));
    waker.join();
    ctx.cancel();
    losing(on_done(ctx, nothing));
    full.close();
    select(on_send(full, std::move(value), [](bool sent) { EXPECT_FALSE(sent); }));
    EXPECT_NE(value, nullptr) << "not even a closed channel takes it";
  });
}

// Counts its copies.
struct copied {
  copied() = default;
  copied(const copied& other) : copies(other.copies) { ++*copies; }
  copied(copied&&) noexcept = default;
  std::shared_ptr<int> copies = std::make_shared<int>(0);
};

TEST(Select, CopiesOnlyWhatItMaySend) {
  const channel<copied> full(1);
  const channel<copied> roomy(4);
  const channel<int> ready(8);
  full.send({});
  const copied value;
  select(on_send(full, value, wrong), otherwise(nothing));
  select(on_send(full, value, wrong), on_timeout(0ms, nothing));
  for (int i = 0; i < 8; ++i) {
    ready.send(1);
    select(on_send(full, value, wrong), on_receive(ready, nothing));
  }
  EXPECT_EQ(*value.copies, 0);
  select(on_send(full, value, wrong), on_send(roomy, value, nothing));
  EXPECT_EQ(*value.copies, 1);
  EXPECT_EQ(roomy.receive()->copies, value.copies);
}

TEST(Select, ACopyThatThrowsChoosesNothing) {
  struct refuses {
    refuses() = default;
    refuses(const refuses&) { throw std::runtime_error("no copy"); }
    refuses(refuses&&) noexcept = default;
  };
  const channel<refuses> roomy(1);
  const channel<refuses> rendezvous;
  const refuses value;
  EXPECT_THROW(select(on_send(roomy, value, wrong)), std::runtime_error);
  EXPECT_THROW(select(on_send(rendezvous, value, wrong), on_timeout(1h, wrong)), std::runtime_error);
  EXPECT_EQ(roomy.size(), 0U);
  EXPECT_EQ(rendezvous.try_send(refuses()), baton::channel_status::would_block);
}

TEST(Select, WaitsForTheFirstThatBecomesReady) {
  baton::run([] {
    const channel<int> a;
    const channel<std::string> b;
    const channel<int> full(1);
    full.send(0);
    const auto ctx = baton::with_cancel(baton::context::background());
    const std::vector<std::function<void()>> wake = {
        [&] { EXPECT_TRUE(a.send(3)); },
        [&] { EXPECT_TRUE(b.send("four")); },
        [&] { EXPECT_EQ(full.receive(), 0); },
        [&] { a.close(); },
        [&] { full.close(); },
        [&] { ctx.cancel(); },
    };
    const std::vector<std::size_t> expected = {0, 1, 2, 0, 2, 3};
    for (std::size_t i = 0; i < wake.size(); ++i) {
      watched_agent watch;
      auto selecting = baton::spawn([&] {
        watch.about_to_wait();
        return select(when(i < 4, on_receive(
                                      a, [&](auto v) { EXPECT_EQ(v, i == 0 ? std::optional(3) : std::nullopt); })),
                      on_receive(b, [](auto v) { EXPECT_EQ(v, "four"); }),
                      when(i < 5, on_send(
                                      full, 5, [&](bool sent) { EXPECT_EQ(sent, i == 2); })),
                      on_done(ctx, nothing), on_timeout(1h, wrong));
      });
      watch.await_parked();
      wake[i]();
      EXPECT_EQ(selecting.join(), expected[i]);
    }
    EXPECT_EQ(full.receive(), 5);
    EXPECT_EQ(full.receive(), std::nullopt);
  });
}

TEST(Select, WaitsInTheSameQueueAsOthers) {
  baton::run([] {
    const channel<int> c;
    const channel<int> unused;
    std::deque<watched_agent> watch(4);
    std::vector<baton::fiber<int>> receivers;
    for (std::size_t i = 0; i < 4; ++i) {
      receivers.push_back(baton::spawn([&, i] {
        int got = -1;
        watch[i].about_to_wait();
        if (i % 2 == 0) {
          select(on_receive(unused, wrong), on_receive(c, [&](auto v) { got = v.value(); }));
        } else {
          got = c.receive().value();
        }
        return got;
      }));
      watch[i].await_parked();
    }
    for (int i = 0; i < 4; ++i) EXPECT_EQ(c.try_send(i), baton::channel_status::ok);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(receivers[static_cast<std::size_t>(i)].join(), i);
  });
}

TEST(Select, TheSameChannelInSeveralCases) {
  baton::run([] {
    const channel<int> c;
    const channel<int> full(1);
    full.send(0);
    for (int round = 0; round < 100; ++round) {
      watched_agent watch;
      auto selecting = baton::spawn([&] {
        int got = -1;
        const auto take = [&](auto v) { got = v.value(); };
        watch.about_to_wait();
        const std::size_t i =
            select(on_receive(c, take), on_receive(c, take), on_send(full, 1, wrong), on_receive(c, take));
        EXPECT_NE(i, 2U);
        return got;
      });
      if (round % 2 == 0) watch.await_parked();
      EXPECT_TRUE(c.send(round));
      EXPECT_EQ(selecting.join(), round);
    }
  });
}

TEST(Select, NeverMeetsItself) {
  const channel<int> rendezvous;
  const channel<int> roomy(1);
  EXPECT_EQ(select(on_send(rendezvous, 1, wrong), on_receive(rendezvous, wrong), on_timeout(1ms, nothing)), 2U);
  EXPECT_EQ(select(on_receive(rendezvous, wrong), on_send(rendezvous, 1, wrong), otherwise(nothing)), 2U);
  // With room it is always one of the two, and only one.
  for (int i = 0; i < 20; ++i) {
    const bool was_empty = roomy.size() == 0;
    EXPECT_EQ(select(on_send(roomy, 1, nothing), on_receive(roomy, nothing)), was_empty ? 0U : 1U);
  }
}

TEST(Select, ATimeoutIsNotEarly) {
  baton::run([] {
    const channel<int> c;
    const auto wait = [&] {
      const auto begin = clock_type::now();
      EXPECT_EQ(select(on_timeout(1h, wrong), on_receive(c, wrong), on_timeout(3ms, nothing)), 2U);
      EXPECT_GE(clock_type::now() - begin, 3ms);
      const auto until = clock_type::now() + 2ms;
      EXPECT_EQ(select(on_timeout(until, nothing), on_receive(c, wrong)), 0U);
      EXPECT_GE(clock_type::now(), until);
    };
    wait();
    std::thread(wait).join();
    EXPECT_EQ(c.try_send(1), baton::channel_status::would_block);
  });
}

TEST(Select, TimesOfAllKinds) {
  const channel<int> ready(1);
  ready.send(1);
  const channel<int> c;
  EXPECT_EQ(select(on_timeout(-1h, nothing), on_receive(c, wrong)), 0U);
  EXPECT_EQ(select(on_timeout(clock_type::now() - 1h, nothing)), 0U);
  EXPECT_EQ(select(on_timeout(std::chrono::system_clock::now() + 100us, nothing), on_receive(c, wrong)), 0U);
  EXPECT_EQ(select(on_timeout(std::chrono::hours::max(), wrong), on_timeout(0.0005s, nothing)), 1U);
  EXPECT_EQ(select(on_timeout(-1h, wrong), on_receive(ready, nothing)), 1U) << "what can be done at once is done";
}

TEST(Select, TakesAContextThatIsDone) {
  baton::run([] {
    const channel<int> c;
    const auto ctx = baton::with_cancel(baton::context::background());
    EXPECT_EQ(select(on_done(ctx, wrong), on_done(baton::context::background(), wrong), otherwise(nothing)), 2U);
    EXPECT_EQ(select(on_done(ctx, wrong), on_timeout(100us, nothing)), 1U);
    ctx.cancel();
    EXPECT_EQ(select(on_receive(c, wrong), on_done(ctx, nothing), otherwise(wrong)), 1U);
    const auto begin = clock_type::now();
    EXPECT_EQ(select(on_receive(c, wrong), on_done(baton::with_timeout(baton::context(), 3ms), nothing)), 1U);
    EXPECT_GE(clock_type::now() - begin, 3ms);
  });
}

TEST(Select, ContextsThatAreCancelledMeanwhile) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      const channel<int> c;
      const auto outer = baton::with_cancel(baton::context::background());
      const auto inner = baton::with_cancel(outer);
      std::atomic<int> received{0};
      auto canceller = baton::spawn([&] { (round % 2 == 0 ? outer : inner).cancel(); });
      auto sender =
          baton::spawn([&] { return c.send_for(1, round % 3 == 0 ? 0us : 50us) == baton::channel_status::ok; });
      const std::size_t i =
          select(on_receive(c, [&](auto) { ++received; }), on_done(inner, nothing), on_done(outer, nothing));
      canceller.join();
      EXPECT_EQ(sender.join(), received == 1);
      EXPECT_EQ(i == 0, received == 1);
      if (round % 2 == 1) {
        EXPECT_NE(i, 2U);
      }
    }
  });
}

TEST(Select, AFunctionMaySelectAgainAndThrow) {
  baton::run([] {
    const channel<int> c(4);
    const channel<int> rendezvous;
    c.send(1);
    c.send(2);
    auto waiting = baton::spawn([=] { return rendezvous.receive(); });
    std::vector<int> seen;
    EXPECT_THROW(select(on_receive(c,
                                   [&](auto v) {
                                     seen.push_back(*v);
                                     select(on_receive(c, [&](auto w) { seen.push_back(*w); }));
                                     rendezvous.send(9);  // waits
                                     throw std::runtime_error("done");
                                   })),
                 std::runtime_error);
    EXPECT_EQ(seen, (std::vector<int>{1, 2}));
    EXPECT_EQ(waiting.join(), 9);

    // The same after a wait; and nothing of the select is left in the other channel.
    watched_agent watch;
    auto throwing = baton::spawn([&] {
      watch.about_to_wait();
      select(on_receive(c, [](auto v) { throw *v; }), on_receive(rendezvous, wrong));
    });
    watch.await_parked();
    c.send(77);
    try {
      throwing.join();
      ADD_FAILURE();
    } catch (int value) {
      EXPECT_EQ(value, 77);
    }
    EXPECT_EQ(rendezvous.try_send(1), baton::channel_status::would_block);
  });
}

TEST(Select, ACaseMayBeAnObjectThatIsUsedAgain) {
  const channel<int> c(3);
  int sum = 0;
  int depth = 0;
  auto take = on_receive(c, [&](auto v) { sum += *v; });
  const int number = 4;
  auto put = on_send(c, number, [&](bool sent) { depth += sent ? 1 : 0; });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(select(put), 0U);
  EXPECT_EQ(depth, 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(select(take, otherwise(wrong)), 0U);
  EXPECT_EQ(select(take, otherwise(nothing)), 1U);
  EXPECT_EQ(sum, 12);
}

TEST(Select, CarriesMoveOnlyTypes) {
  baton::run([] {
    const channel<std::unique_ptr<int>> there;
    const channel<std::unique_ptr<int>> back;
    auto echo = baton::spawn([=] {
      for (auto& p : there) {
        ++*p;
        select(on_send(back, std::move(p), [](bool sent) { EXPECT_TRUE(sent); }));
      }
      back.close();
    });
    int sum = 0;
    std::unique_ptr<int> next = std::make_unique<int>(0);
    for (bool open = true; open;) {
      select(when(next != nullptr, on_send(there, std::move(next), nothing)), on_receive(back, [&](auto p) {
               open = p.has_value();
               if (!open) return;
               sum += **p;
               if (**p < 100) {
                 next = std::move(*p);
               } else {
                 there.close();
               }
             }));
    }
    echo.join();
    EXPECT_EQ(sum, 5050);
  });
}

// All of them are told of the end; which is told first must not decide.
TEST(Select, ChoosesFairlyAmongTheCasesOfOneContextThatEnds) {
  baton::run([] {
    constexpr int rounds = 300;
    int chosen[3] = {};
    int other = 0;
    for (int i = 0; i < rounds; ++i) {
      const auto ctx = baton::with_cancel({});
      const auto beside = baton::with_cancel({});
      auto canceller = baton::spawn([&] { ctx.cancel(); });
      baton::select(baton::on_done(ctx, [&] { ++chosen[0]; }), baton::on_done(beside, [&] { ++other; }),
                    baton::on_done(ctx, [&] { ++chosen[1]; }), baton::on_done(ctx, [&] { ++chosen[2]; }));
      canceller.join();
    }
    for (const int n : chosen) EXPECT_GT(n, rounds / 10);
    EXPECT_EQ(other, 0);
  });
}

TEST(Select, ChoosesFairlyAmongTheReady) {
  constexpr int rounds = 4'000;
  const std::array<channel<int>, 6> c{channel<int>(1), channel<int>(1), channel<int>(1),
                                      channel<int>(),  channel<int>(1), channel<int>(1)};
  const auto ctx = baton::with_cancel(baton::context::background());
  ctx.cancel();
  c[0].send(1);
  c[1].send(1);
  c[4].close();
  // The cases 0, 1, 2 (a send), 4 and 6 (the context) are ready.
  std::array<int, 7> chosen{};
  for (int i = 0; i < rounds; ++i) {
    const std::size_t k =
        select(on_receive(c[0], nothing), on_receive(c[1], nothing), on_send(c[2], 1, nothing), on_receive(c[3], wrong),
               on_receive(c[4], nothing), on_receive(c[5], wrong), on_done(ctx, nothing));
    ++chosen.at(k);
    if (k == 0 || k == 1) c[k].send(1);
    if (k == 2) (void)c[k].receive();
  }
  for (const std::size_t k : {0U, 1U, 2U, 4U, 6U}) EXPECT_GT(chosen.at(k), rounds / 5 / 2) << k;
}

TEST(Select, BlocksAThreadAsWell) {
  const channel<int> c;
  const channel<int> unused;
  const auto ctx = baton::with_cancel(baton::context::background());
  watched_agent watch;
  std::thread receiver([&] {
    watch.about_to_wait();
    select(on_receive(unused, wrong), on_receive(c, [](auto v) { EXPECT_EQ(v, 8); }));
    watch.about_to_wait();
    EXPECT_EQ(select(on_done(ctx, nothing), on_receive(unused, wrong)), 0U);
  });
  baton::run([&] {
    watch.await_parked();
    c.send(8);
    ctx.cancel();
    // Inside a declared call a fiber counts as a thread.
    baton::enter_syscall();
    EXPECT_EQ(select(on_receive(c, wrong), on_timeout(1ms, nothing)), 1U);
    baton::exit_syscall();
  });
  receiver.join();
}

TEST(Select, WithoutTheHopeOfAnythingItWaits) {
  baton::run([] {
    const channel<int> c(1);
    std::atomic<bool> over{false};
    watched_agent watch;
    const auto ctx = baton::with_cancel(baton::context::background());
    auto f = baton::spawn([&] {
      watch.about_to_wait();
      select(when(false, on_send(c, 1, wrong)), on_done(ctx, nothing));
      over = true;
    });
    watch.await_parked();
    EXPECT_FALSE(over);
    ctx.cancel();
    f.join();
  });
}

// Everything that a select waited for is destroyed as soon as it has returned.
TEST(Select, EverythingMayBeGoneRightAfter) {
  baton::run([] {
    for (int round = 0; round < 1'000; ++round) {
      auto a = std::make_unique<channel<int>>();
      auto b = std::make_unique<channel<int>>(static_cast<std::size_t>(round % 2));
      auto ctx = std::make_unique<baton::cancellable_context>(baton::with_cancel(baton::context::background()));
      const auto copy_a = *a;
      const auto copy_b = *b;
      const auto copy_ctx = *ctx;
      auto sender = baton::spawn([=] { return copy_a.try_send(1) == baton::channel_status::ok; });
      auto closer = baton::spawn([=] { copy_b.close(); });
      auto canceller = baton::spawn([=] { copy_ctx.cancel(); });
      select(on_receive(*a, nothing), on_receive(*b, nothing), on_done(*ctx, nothing), on_timeout(20us, nothing));
      a.reset();
      b.reset();
      ctx.reset();
      sender.join();
      closer.join();
      canceller.join();
    }
  });
}

// Of several cases on one channel none always comes first.
TEST(Select, CasesOnOneChannelTakeTurnsAlsoIfItWaits) {
  for (const bool receives : {true, false}) {
    baton::run(
        [receives] {
          const channel<int> c;
          constexpr int rounds = 600;
          std::array<int, 3> chosen{};
          for (int i = 0; i < rounds; ++i) {
            baton::test::watched_agent me;
            const auto peer = baton::spawn([&] {
              me.await_parked();
              if (receives) {
                c.send(1);
              } else {
                static_cast<void>(c.receive());
              }
            });
            me.about_to_wait();
            const auto index =
                receives
                    ? baton::select(on_receive(c, [](auto) {}), on_receive(c, [](auto) {}), on_receive(c, [](auto) {}))
                    : baton::select(on_send(c, 1, [](bool) {}), on_send(c, 1, [](bool) {}), on_send(c, 1, [](bool) {}));
            ++chosen[index];
          }
          for (const int n : chosen) EXPECT_GT(n, rounds / 6) << "receives " << receives;
        },
        {.procs = 1});
  }
}

TEST(Select, ForNoLongerThanThat) {
  baton::run([] {
    const channel<int> c(1);
    EXPECT_EQ(std::nullopt, baton::select_for(0s, on_receive(c, [](auto) { ADD_FAILURE(); })));
    EXPECT_EQ(std::nullopt, baton::select_for(1ms, on_receive(c, [](auto) { ADD_FAILURE(); })));
    EXPECT_EQ(std::nullopt, baton::select_until(std::chrono::system_clock::now() - 1h, on_receive(c, [](auto) {})));
    EXPECT_EQ(1U, baton::select_for(1h, on_receive(c, [](auto) {}), on_timeout(1ms, [] {})));
    EXPECT_EQ(std::nullopt, baton::select_for(1ms, on_receive(c, [](auto) {}), on_timeout(1h, [] {})));
    EXPECT_EQ(std::nullopt, baton::select_for(1ms)) << "nothing at all";
    c.send(5);
    int got = 0;
    EXPECT_EQ(0U, baton::select_for(-1s, on_receive(c, [&](std::optional<int> n) { got = *n; }))) << "it was ready";
    EXPECT_EQ(got, 5);
  });
}

TEST(Select, ASendThatIsRefusedLeavesItsValue) {
  const channel<std::unique_ptr<int>> c;
  auto value = std::make_unique<int>(7);
  EXPECT_EQ(std::nullopt, baton::select_for(1ms, on_send(c, std::move(value), [](bool) { ADD_FAILURE(); })));
  ASSERT_NE(value, nullptr);
  c.close();
  baton::select(on_send(c, std::move(value), [](bool sent) { EXPECT_FALSE(sent); }));
  ASSERT_NE(value, nullptr);
  EXPECT_EQ(*value, 7);
}

}  // namespace
