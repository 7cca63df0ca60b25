// A queue of work items under a lock, and one fiber that takes all there are, runs them without the lock, and parks
// when there are none. A thread that pushes takes `idle_` under the lock, so it alone readies the fiber.
//
// The worker is started when it is first needed, by a caller that can be told that there is no memory. If several
// callers come at once, each makes a fiber, and the first fiber that runs serves. So no caller relies on a fiber that
// another caller has still to make and may get no memory for. A work item that is pushed before the fiber runs waits in
// the queue, which the fiber looks at first.
//
// A work item that gets no memory (for a fiber, a timer) is put off: it runs again after a millisecond, and so on until
// it gets some. So what was promised is late then, but not lost, and nothing else waits for it.
#include <baton/runtime/detail/timer_worker.h>

#include <baton/runtime/fiber.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/timer.h>
#include <baton/syscall/time.h>

#include <chrono>
#include <cstdint>
#include <new>
#include <utility>

namespace baton::detail {

namespace platform = sched::platform;

namespace {

constexpr std::int64_t pause_ns = 1'000'000;

void pause() noexcept {
  try {
    sched::sleep_until_ns(platform::now_ns() + pause_ns);
  } catch (const std::bad_alloc&) {
    static_cast<void>(sys::nanosleep(std::chrono::nanoseconds(pause_ns)));  // no memory for that, either
  }
}

}  // namespace

timer_worker& timer_worker::get() {
  static timer_worker* const one = new timer_worker;  // never destroyed: its fiber does not end
  return *one;
}

void timer_worker::start() {
  // acquire, release: a thread that sees it started needs to see nothing else. These orders are only for clarity.
  if (started_.load(platform::mo::acquire)) return;
  go({"timers"}, [this] {
    sched::mark_daemon();
    // relaxed: a lock guards what the fiber touches.
    if (!serving_.exchange(true, platform::mo::relaxed)) serve();
  });
  started_.store(true, platform::mo::release);
}

// Returns the fiber if it waits.
sched::agent* timer_worker::queue(work_item* first) noexcept {
  work_item* last = first;
  while (last->next_item != nullptr) last = last->next_item;
  const platform::lock_guard hold(lock_);
  (first_ != nullptr ? last_->next_item : first_) = first;
  last_ = last;
  return std::exchange(idle_, nullptr);
}

void timer_worker::push(work_item* first, sched::fiber_list& readied) noexcept {
  if (sched::agent* const idle = queue(first)) sched::ready_into(idle, readied);
}

void timer_worker::try_later(work_item* e) noexcept {
  sched::agent* idle = nullptr;
  {
    const platform::lock_guard hold(lock_);
    if (later_ == nullptr) later_at_ns_ = platform::now_ns() + pause_ns;
    e->next_item = std::exchange(later_, e);
    idle = std::exchange(idle_, nullptr);
  }
  if (idle != nullptr) sched::ready(idle);
}

// Adds the items that were put off to `todo`, if there is nothing else or their time has come. Returns true if there is
// nothing else and their time has not come.
bool timer_worker::take_later(work_item*& todo) noexcept {
  if (later_ == nullptr) return false;
  const bool due = platform::now_ns() >= later_at_ns_;
  if (todo != nullptr && !due) return false;
  if (todo == nullptr) {
    todo = std::exchange(later_, nullptr);
    return !due;
  }
  work_item* last = later_;
  while (last->next_item != nullptr) last = last->next_item;
  last->next_item = todo;
  todo = std::exchange(later_, nullptr);
  return false;
}

void timer_worker::append(work_item* first) noexcept {
  long_items_ = true;
  static_cast<void>(queue(first));  // the fiber is the caller
}

void timer_worker::serve() noexcept {
  constexpr std::uint32_t yield_every = 128;  // some ten microseconds
  std::uint32_t done = 0;
  sched::agent* const self = sched::current_agent();
  for (;;) {
    work_item* todo = nullptr;
    bool early = false;
    {
      const platform::lock_guard hold(lock_);
      todo = std::exchange(first_, nullptr);
      early = take_later(todo);
      if (todo == nullptr) {
        sched::prepare_park(self, sched::wait_reason::work_item);
        idle_ = self;
      }
    }
    if (todo == nullptr) sched::park(self);
    if (early) pause();
    while (todo != nullptr) {
      work_item* const e = todo;
      todo = std::exchange(e->next_item, nullptr);
      e->run();
      // A hundred thousand items at once must not keep others from the P.
      if (++done % yield_every == 0 || std::exchange(long_items_, false)) sched::yield();
    }
  }
}

}  // namespace baton::detail
