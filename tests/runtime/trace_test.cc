// What is recorded, and that what the scheduler does obeys its rules when it is replayed.
#include <baton/runtime/trace.h>

#include <baton/baton.h>
#include <baton/runtime/trace/figures.h>
#include <baton/runtime/trace/recording.h>
#include <baton/runtime/trace/rules.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::sched::trace::kind;
using baton::trace::recorded;
using baton::trace::recording;

class Trace : public testing::Test {
 protected:
  Trace() {
    std::string pattern = (std::filesystem::temp_directory_path() / "baton-trace-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Trace() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const char* name = "a.btrace") const { return folder_ + '/' + name; }

  template <class Work>
  recording record(Work work) const {
    EXPECT_TRUE(baton::trace::start(path()).ok());
    work();
    const absl::Status stopped = baton::trace::stop();
    EXPECT_TRUE(stopped.ok()) << stopped;
    auto r = baton::trace::read_recording(path());
    EXPECT_TRUE(r.ok()) << r.status();
    return r.ok() ? *std::move(r) : recording{};
  }

 private:
  std::string folder_;
};

std::size_t count(const recording& r, kind what, std::uint64_t subject) {
  std::size_t n = 0;
  for (const recorded& e : r.events) n += e.what == what && e.subject == subject ? 1 : 0;
  return n;
}

void expect_rules_hold(const recording& r) {
  ASSERT_EQ(r.lost, 0U);
  ASSERT_TRUE(r.complete);
  const baton::trace::verdict v = baton::trace::check(r);
  EXPECT_TRUE(v.begun);
  EXPECT_GT(v.checked, 0U);
  for (const std::string& one : v.violations) ADD_FAILURE() << one;
}

TEST_F(Trace, TellsTheLifeOfAFiber) {
  std::uint64_t id = 0;
  const recording r = record([&] {
    baton::run([&] {
      baton::event go, there;
      auto f = baton::spawn({.name = "the one that waits"}, [&] {
        id = baton::this_fiber::id().value();
        there.set();
        go.wait();
        baton::this_fiber::yield();
        baton::blocking([] { ::usleep(100); });
      });
      there.wait();
      go.set();
      f.join();
    });
  });
  EXPECT_EQ(count(r, kind::spawn, id), 1U);
  EXPECT_EQ(count(r, kind::end, id), 1U);
  EXPECT_GE(count(r, kind::run, id), 1U);
  EXPECT_EQ(count(r, kind::call_begin, id), 1U);
  EXPECT_EQ(count(r, kind::call_end, id), 1U);
  EXPECT_EQ(r.fiber_names.at(id), "the one that waits");
  expect_rules_hold(r);
}

TEST_F(Trace, NamesRegionsAndInstants) {
  const recording r = record([] {
    baton::run([] {
      const baton::trace::region inside("a region");
      baton::trace::instant("here");
    });
  });
  std::vector<std::string> seen;
  for (const recorded& e : r.events) {
    if (e.what == kind::region_begin || e.what == kind::instant) seen.push_back(r.texts.at(e.extra));
    if (e.what == kind::region_end) seen.emplace_back("end");
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"a region", "here", "end"}));
}

// Channels, locks, timers, calls of all lengths, pinned calls, locked threads, sockets, hogs.
void do_everything() {
  baton::run([] {
    baton::wait_group all;
    const auto go = [&](auto work) {
      all.add();
      baton::go([&all, work] {
        work();
        all.done();
      });
    };
    const baton::channel<int> c(4);
    baton::mutex lock;
    for (int i = 0; i < 4; ++i) {
      go([&c] {
        for (int k = 0; k < 500; ++k) c.send(k);
      });
      go([&c] {
        for (int k = 0; k < 500; ++k) static_cast<void>(c.receive());
      });
      go([&lock] {
        for (int k = 0; k < 200; ++k) {
          const std::lock_guard hold(lock);
          if (k % 20 == 0) baton::this_fiber::yield();
        }
      });
      go([] {
        for (int k = 0; k < 5; ++k) baton::this_fiber::sleep_for(1ms);
      });
      go([] {
        for (int k = 0; k < 10; ++k) baton::blocking([] { ::usleep(300); });
        for (int k = 0; k < 1'000; ++k) baton::blocking([] { asm volatile(""); });
        for (int k = 0; k < 5; ++k) baton::blocking([] { ::usleep(100); }, baton::will_block);
      });
      go([] {
        baton::lock_os_thread();
        for (int k = 0; k < 5; ++k) baton::this_fiber::sleep_for(100us);
        baton::this_fiber::yield();
        baton::unlock_os_thread();
      });
      go([] {
        for (int k = 0; k < 100; ++k) baton::spawn([] {}).join();
      });
    }
    go([] { ::usleep(30'000); });  // undeclared
    go([] {
      const auto until = std::chrono::steady_clock::now() + 25ms;
      while (std::chrono::steady_clock::now() < until) {
      }
    });
    go([] {
      auto listener = baton::net::tcp_listener::bind("127.0.0.1:0").value();
      auto there = baton::spawn([&] { return listener.accept(); });
      auto near = baton::net::dial(listener.local_address().to_string()).value();
      auto far = there.join().value();
      char byte = 'x';
      for (int k = 0; k < 50; ++k) {
        near.write(std::string_view(&byte, 1)).IgnoreError();
        static_cast<void>(far.read(baton::bytes(&byte, 1)));
      }
    });
    all.wait();
  });
}

TEST_F(Trace, WhatTheSchedulerDoesObeysItsRules) {
  for (int i = 0; i < 3; ++i) expect_rules_hold(record(do_everything));
}

// Recording begins and ends while everything is under way.
TEST_F(Trace, BeginsAndEndsInTheMiddle) {
  std::atomic<bool> over{false};
  std::atomic<int> switched{0};
  std::thread load([&] {
    while (!over) do_everything();
  });
  std::thread counter([&] {
    baton::run([&] {
      while (!over) {
        baton::this_fiber::sleep_for(100us);
        ++switched;
        switched.notify_one();
      }
    });
  });
  for (int i = 0; i < 10; ++i) {
    expect_rules_hold(record([&] {
      for (int k = 0; k < 20; ++k) switched.wait(switched);
    }));
  }
  over = true;
  load.join();
  counter.join();
}

TEST_F(Trace, RefusesWhatItCannotDo) {
  EXPECT_FALSE(baton::trace::stop().ok());
  ASSERT_TRUE(baton::trace::start(path()).ok());
  EXPECT_EQ(baton::trace::start(path("b.btrace")).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(std::filesystem::exists(path("b.btrace")));
  EXPECT_TRUE(baton::trace::stop().ok());
  EXPECT_EQ(baton::trace::start(path("a.txt")).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(baton::trace::start(path("none/a.btrace")).code(), absl::StatusCode::kNotFound);
}

TEST_F(Trace, FiguresNameTheCauseOfEachHandoff) {
  const recording r = record([] {
    baton::run([] {
      baton::event waits;
      auto other = baton::spawn([&] { waits.wait(); });
      for (int i = 0; i < 5; ++i) baton::blocking([] { ::usleep(2'000); }, baton::will_block);
      waits.set();
      other.join();
    });
  });
  const baton::trace::figures f = baton::trace::figures_of(r);
  EXPECT_GE(f.events.at("P left"), 5U);
  const std::string text = to_text(r, f);
  EXPECT_NE(text.find("call sites"), std::string::npos);
  EXPECT_NE(text.find("none was lost"), std::string::npos);
}

}  // namespace
