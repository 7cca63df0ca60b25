// The untyped spawn interface with a lambda, for tests of the layer below baton::spawn.
#pragma once

#include <baton/sched/lifecycle.h>
#include <baton/sched/park.h>
#include <baton/sched/spawn.h>

#include <atomic>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace baton_test {

template <class F>
baton::sched::fiber* spawn_fiber(F f, bool joinable = true, std::string_view name = {}) {
  const auto prepared = baton::sched::prepare_fiber({name, 0}, sizeof(F), alignof(F));
  if (prepared.f == nullptr) throw std::bad_alloc();
  new (prepared.closure) F(std::move(f));
  static constexpr baton::sched::fiber_start start{.entry = [](baton::sched::fiber*, void* closure) noexcept {
    auto* const c = static_cast<F*>(closure);
    (*c)();
    c->~F();
  }};
  baton::sched::launch(prepared.f, start, joinable);
  return prepared.f;
}

inline void join(baton::sched::fiber* f) {
  baton::sched::join_fiber(f);
  baton::sched::release_fiber(f);
}

// Runs f as a fiber and waits for it.
template <class F>
void on_fiber(F f) {
  join(spawn_fiber(std::move(f)));
}

// Sets another number of Ps for its lifetime.
class with_procs {
 public:
  explicit with_procs(int n) : before_(baton::sched::set_procs(n)) {}
  ~with_procs() { baton::sched::set_procs(before_); }
  with_procs(const with_procs&) = delete;
  with_procs& operator=(const with_procs&) = delete;

 private:
  int before_;
};

// A one-shot flag on which one fiber or thread parks.
class flag {
 public:
  void wait() {
    auto* const self = baton::sched::current_agent();
    baton::sched::prepare_park(self, baton::sched::wait_reason::other);
    baton::sched::agent* none = nullptr;
    if (waiter_.compare_exchange_strong(none, self)) {
      baton::sched::park(self);
    } else {
      baton::sched::cancel_park(self);
    }
  }
  void set() {
    baton::sched::agent* const w = waiter_.exchange(done());
    if (w != nullptr && w != done()) baton::sched::ready(w);
  }

 private:
  static baton::sched::agent* done() { return reinterpret_cast<baton::sched::agent*>(1); }
  std::atomic<baton::sched::agent*> waiter_{nullptr};
};

}  // namespace baton_test
