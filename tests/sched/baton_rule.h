// The stress of the baton rule. Two tests share it: one expects no violation, and one runs it without the heavy fence
// and expects to see some.
//
// Ms touch their P in sections at full speed (each writes an owner word first and checks it afterwards), make short
// declared calls, and sometimes give their P away. Revokers take Ps by the protocol and touch them, too. A P changes
// hands only through `pool`. A thread that touches a P that another thread is touching sees a foreign mark in the owner
// word.
#pragma once

#include <baton/sched/baton_word.h>
#include <baton/sched/platform/clock.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace baton_rule {

using baton::sched::baton_word;
using baton::sched::place;

struct fake_p {
  // Not a read-modify-write, on purpose: two owners overwrite each other's mark and see it.
  alignas(64) std::atomic<std::uint64_t> owner{0};
  std::uint64_t plain = 0;  // ThreadSanitizer watches this one
};

struct fake_m {
  baton_word baton;
  alignas(64) std::atomic<fake_p*> p{nullptr};
};

struct outcome {
  std::uint64_t touches = 0, taken = 0, refused = 0, given = 0, violations = 0;
};

class stress {
 public:
  stress(int ms, int ps) : ms_(static_cast<std::size_t>(ms)), ps_(static_cast<std::size_t>(ps)) {
    for (auto& m : ms_) m = std::make_unique<fake_m>();
    for (auto& p : ps_) {
      p = std::make_unique<fake_p>();
      pool_.push_back(p.get());
    }
  }

  // Runs until the time is up, or (with stop_at_violation) until a thread has seen a violation.
  outcome run(std::chrono::milliseconds time, bool stop_at_violation) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < ms_.size(); ++i) threads.emplace_back([this, i] { be_m(i + 1, *ms_[i]); });
    threads.emplace_back([this] { be_revoker(1001); });
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until && !(stop_at_violation && violations_.load() > 0)) {
      std::this_thread::yield();
    }
    stop_.store(true);
    for (auto& t : threads) t.join();
    return {touches_.load(), taken_.load(), refused_.load(), given_.load(), violations_.load()};
  }

 private:
  void touch(fake_p& p, std::uint64_t mark) {
    p.owner.store(mark, std::memory_order_relaxed);
    p.plain += 1;
    for (int i = 0; i < 4; ++i) {
      if (p.owner.load(std::memory_order_relaxed) != mark) violations_.fetch_add(1);
    }
    p.owner.store(0, std::memory_order_relaxed);
  }

  fake_p* take_from_pool() {
    const std::lock_guard guard(pool_mutex_);
    if (pool_.empty()) return nullptr;
    fake_p* const p = pool_.back();
    pool_.pop_back();
    return p;
  }
  void put_into_pool(fake_p* p) {
    const std::lock_guard guard(pool_mutex_);
    pool_.push_back(p);
  }

  void be_m(std::uint64_t mark, fake_m& m) {
    std::uint64_t touches = 0, given = 0, n = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
      ++n;
      // enter as in sched/machine.h
      if (!m.baton.enter() && !m.baton.keep()) m.p.store(nullptr, std::memory_order_relaxed);
      fake_p* p = m.p.load(std::memory_order_relaxed);
      if (p == nullptr) {
        p = take_from_pool();
        if (p != nullptr) {
          m.p.store(p, std::memory_order_relaxed);
          m.baton.regain();
        }
      }
      if (p != nullptr) {
        touch(*p, mark);
        ++touches;
        if (n % 97 == 0) {
          m.baton.release_p();
          m.p.store(nullptr, std::memory_order_relaxed);
          put_into_pool(p);
          ++given;
        }
      }
      m.baton.leave(place::user);
      if (n % 3 == 0) {  // a short declared call
        m.baton.begin_syscall();
        if (!m.baton.end_syscall()) continue;  // the slow path is a section
      }
    }
    touches_.fetch_add(touches);
    given_.fetch_add(given);
  }

  void be_revoker(std::uint64_t mark) {
    struct candidate {
      fake_m* m;
      fake_p* p;
      baton_word::visit v;
    };
    std::vector<candidate> candidates;
    std::uint64_t looks = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
      candidates.clear();
      for (auto& m : ms_) {
        const auto v = m->baton.judge();
        if (v.where != place::user && v.where != place::syscall) continue;
        fake_p* const p = m->p.load(std::memory_order_relaxed);
        if (p == nullptr || !m->baton.ask()) continue;
        candidates.push_back({m.get(), p, v});
      }
      if (candidates.empty()) continue;
      // Every fifth time it acts as if the kernel had refused the fence.
      if (++looks % 5 == 0 || !baton::sched::platform::heavy_fence()) {
        for (const candidate& c : candidates) c.m->baton.withdraw();
        continue;
      }
      for (const candidate& c : candidates) {
        if (!c.m->baton.take(c.v, c.m->p.load(std::memory_order_relaxed) == c.p)) {
          refused_.fetch_add(1);
          continue;
        }
        taken_.fetch_add(1);
        touch(*c.p, mark);
        put_into_pool(c.p);
      }
    }
  }

  std::vector<std::unique_ptr<fake_m>> ms_;
  std::vector<std::unique_ptr<fake_p>> ps_;
  std::mutex pool_mutex_;
  std::vector<fake_p*> pool_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> touches_{0}, taken_{0}, refused_{0}, given_{0}, violations_{0};
};

}  // namespace baton_rule
