// Ms are numbered and type-stable. The object of a thread that has ended goes on a free list, and the next thread gets
// it. A thread that has retired keeps its M until it has been joined.
//
// A thread that has retired still runs the destructors of the user's thread_locals, which may take long, or never
// return. So no thread waits for it, least of all a thread that ends after it. The threads that have retired are on a
// list, and the one reaper joins those that have really ended (reap_ended_machines()). The monitor is the reaper: it
// reaps when there are new ones, and before it starts a thread. Only shutdown waits (join_ended_machines()), because it
// has to leave no thread. A thread that never ends keeps its place in the table. When no place is left, no thread can
// be started.
#include <baton/sched/machine_table.h>

#include <baton/sched/machine.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/scheduler.h>

#include <cerrno>
#include <mutex>
#include <new>
#include <utility>

namespace baton::sched {

namespace {

platform::spin_lock table_lock;
machine* free_machines ABSL_GUARDED_BY(table_lock) = nullptr;  // linked through next_idle, as are all lists here
machine* retired ABSL_GUARDED_BY(table_lock) = nullptr;        // to be joined
platform::atomic<bool> newly_retired{false};                   // a hint
bool none_joins ABSL_GUARDED_BY(table_lock) = false;           // exit() has left the retired ones: they are detached
platform::atomic<std::uint32_t> live{0};                       // allocated and not retired; end_machines() waits for 0
platform::atomic<machine*> table[machines_max];
platform::atomic<std::uint32_t> table_size{0};

std::mutex one_reaps;  // a thread that waits for retired ones also waits for those the reaper holds

void free_machine(machine* m) noexcept {
  platform::lock_guard guard(table_lock);
  m->next_idle = free_machines;
  free_machines = m;
}

void one_less() noexcept {
  // release: pairs with end_machines().
  if (live.fetch_sub(1, mo::release) == 1) platform::futex_wake(&live, 1);
}

machine* take_free_machine() noexcept {
  platform::lock_guard guard(table_lock);
  machine* const m = free_machines;
  if (m == nullptr) return nullptr;
  free_machines = m->next_idle;
  m->next_idle = nullptr;
  live.fetch_add(1, mo::relaxed);
  return m;
}

machine* take_retired() noexcept {
  platform::lock_guard guard(table_lock);
  return std::exchange(retired, nullptr);
}

void detach_retired() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock) {
  for (machine* m = std::exchange(retired, nullptr); m != nullptr; m = m->next_idle) platform::detach_thread(m->thread);
}

}  // namespace

machine* machine_at(std::uint32_t i) noexcept { return table[i].load(mo::acquire); }
std::uint32_t machine_count() noexcept { return table_size.load(mo::acquire); }

machine* allocate_machine(int* error) noexcept {
  if (machine* const m = take_free_machine()) return m;
  auto* const m = new (std::nothrow) machine;  // type-stable: never freed
  if (m == nullptr) {
    *error = ENOMEM;
    return nullptr;
  }
  {
    platform::lock_guard guard(table_lock);
    const std::uint32_t n = table_size.load(mo::relaxed);
    if (n < machines_max) {
      live.fetch_add(1, mo::relaxed);
      m->index = n;
      table[n].store(m, mo::release);  // pairs with machine_at()
      table_size.store(n + 1, mo::release);
      return m;
    }
  }
  delete m;  // no other thread has seen it
  *error = EAGAIN;
  return nullptr;
}

void take_machine_back(machine* m) noexcept {
  free_machine(m);
  one_less();
}

void retire_machine(machine* m) noexcept {
  {
    platform::lock_guard guard(table_lock);
    if (none_joins) {
      platform::detach_thread(m->thread);
    } else {
      m->next_idle = retired;
      retired = m;
    }
  }
  newly_retired.store(true, mo::relaxed);
  one_less();
}

bool has_machines_to_reap() noexcept { return newly_retired.load(mo::relaxed); }

void reap_ended_machines() noexcept {
  const std::unique_lock hold(one_reaps, std::try_to_lock);
  if (!hold.owns_lock()) return;
  // relaxed: a thread that is missed because of it is found before the next thread is started.
  newly_retired.store(false, mo::relaxed);
  machine* still_there = nullptr;
  machine* last_there = nullptr;
  for (machine* m = take_retired(); m != nullptr;) {
    machine* const next = m->next_idle;
    if (platform::join_thread_if_ended(m->thread)) {
      free_machine(m);
    } else {
      if (still_there == nullptr) last_there = m;
      m->next_idle = still_there;
      still_there = m;
    }
    m = next;
  }
  if (still_there == nullptr) return;
  platform::lock_guard guard(table_lock);
  last_there->next_idle = retired;
  retired = still_there;
  if (none_joins) detach_retired();
}

void end_machines() noexcept {
  close_machines(true);
  for (;;) {
    const std::uint32_t n = live.load(mo::acquire);  // pairs with one_less()
    if (n == 0) break;
    platform::futex_wait(live, n, platform::forever_ns);
  }
  close_machines(false);
}

void join_ended_machines() noexcept {
  const std::lock_guard hold(one_reaps);  // the second caller also waits for the threads of the first one
  for (machine* m = take_retired(); m != nullptr;) {
    machine* const next = m->next_idle;
    platform::join_thread(m->thread);
    free_machine(m);
    m = next;
  }
}

void leave_ended_machines() noexcept {
  // Without the reaper's lock: exit() may have stopped a shutdown() that holds it. What the reaper holds now, or
  // retires later, is detached when it comes.
  platform::lock_guard guard(table_lock);
  none_joins = true;
  detach_retired();
}

}  // namespace baton::sched
