// Recording. Off, it costs nothing on the hot paths: their trace points lie behind tests that are there anyway.
//
//   a section begins, a switch   the notice `traced` of the M (baton_word.h), beside the other notices
//   a kept call begins           kept_calls_differ (scheduler.h), beside the refused fence
//   all others                   trace::on(), a load and a branch. None of them is on a path of tens of nanoseconds
//
// On, an event costs one read of the cycle counter, and seven stores to the thread's own ring (ring.h). No lock, no
// allocation, no locked instruction. Plain threads share one ring, under a lock.
//
// Time. An event that gets something reads the counter with rdtscp, which waits for the loads before it: its stamp is
// not earlier than the load that saw what was given. An event that gives something reads the counter before its store
// can be seen. So cause comes before effect where the counters of the CPUs agree. Linux uses the counter for its own
// clocks only then (clocksource tsc).
//
// start() and the Ms:
//   1. rings for all Ms of the table; is_on := true
//   2. each M is told `traced`
//   3. heavy fence; then wait until each M has been seen outside a section, or in another visit. From here on all Ms
//      record all that they do: the event `begun` says so
// An M whose thread starts meanwhile makes its ring itself, sets its notice as is_on says, and looks again: if is_on
// has changed, it sets the notice anew. stop() clears is_on first, and the notices after that. So an M that read the
// old value of is_on either has its notice cleared by stop(), or reads the new value.
//
// Rings are never freed: an M that has read is_on may write its event much later.
#include <baton/sched/trace/trace.h>

#include <baton/sched/fiber.h>
#include <baton/sched/machine.h>
#include <baton/sched/machine_table.h>
#include <baton/sched/platform/asymmetric_fence.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/this_machine.h>
#include <baton/sched/trace/ring.h>

#include <sched.h>
#include <sys/mman.h>
#include <cstring>
#include <mutex>
#include <new>

namespace baton::sched::trace {

constinit platform::atomic<bool> is_on{false};

namespace {

std::mutex switching;  // held by start() and stop()
platform::atomic<std::size_t> events_each_ring{0};
platform::atomic<ring*> monitors{nullptr};
platform::atomic<ring*> others{nullptr};
platform::spin_lock others_lock;

std::size_t bytes_of_ring() noexcept { return sizeof(ring) + events_each_ring.load(mo::relaxed) * sizeof(ring::slot); }

// Returns null if there is no memory. Not from the heap: the caller may be a thread that has just begun.
ring* make_ring() noexcept {
  void* const room =
      ::mmap(nullptr, bytes_of_ring(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return nullptr;
  auto* const slots = reinterpret_cast<ring::slot*>(static_cast<std::byte*>(room) + sizeof(ring));
  return new (room) ring(slots, events_each_ring.load(mo::relaxed));  // all bits zero are atomics of zero
}

// start() and a thread that begins may both come here.
ring* made(platform::atomic<ring*>& r) noexcept {
  ring* there = r.load(mo::acquire);
  if (there != nullptr) return there;
  ring* const mine = make_ring();
  // acq_rel: pairs with the acquire of those that record.
  if (mine == nullptr || r.compare_exchange_strong(there, mine, mo::acq_rel, mo::acquire)) return mine;
  static_cast<void>(::munmap(mine, bytes_of_ring()));
  return there;
}

std::uint64_t stamp(kind what) noexcept {
#if defined(__x86_64__)
  if (what >= first_that_gets) {
    unsigned cpu;
    return __builtin_ia32_rdtscp(&cpu);
  }
#elif defined(__aarch64__)
  if (what >= first_that_gets) asm volatile("isb" ::: "memory");
#endif
  return platform::ticks();
}

inline event make_event(const point& e, const processor* p) noexcept {
  return {stamp(e.what),
          e.subject,
          e.object,
          e.extra,
          e.what,
          e.detail,
          p != nullptr ? static_cast<std::uint16_t>(p->index) : no_p};
}

void record_by_others(const point& e, const processor* p) noexcept {
  ring* const r = others.load(mo::acquire);
  if (r == nullptr) return;
  const platform::lock_guard hold(others_lock);
  r->put(make_event(e, p));
}

void tell(machine* m, bool traced) noexcept { m->baton.trace(traced); }

// Waits until no M is in a section that began before it was told.
void wait_for_machines() noexcept {
  const std::uint32_t n = machine_count();
  for (std::uint32_t i = 0; i < n; ++i) {
    const machine* const m = machine_at(i);
    if (m == nullptr || m == this_machine()) continue;
    const std::uint64_t before = m->baton.visits();
    while (m->baton.is_at() == place::runtime && m->baton.visits() == before) ::sched_yield();
  }
}

}  // namespace

__attribute__((noinline)) void record(const machine* m, const point& e, const processor* p) noexcept {
  if (ring* const r = m->trace.load(mo::acquire)) r->put(make_event(e, p));
}

void record(const machine* m, const point& e) noexcept { record(m, e, m->my_p()); }

void record_here(const point& e, const processor* p) noexcept {
  if (const machine* const m = this_machine()) {
    record(m, e, p);
  } else {
    record_by_others(e, p);
  }
}

void record_by_monitor(const point& e, const processor* p) noexcept {
  if (ring* const r = monitors.load(mo::acquire)) r->put(make_event(e, p));
}

void park(const machine* m, const fiber* f) noexcept {
  const bool has_lock = f->reason == wait_reason::mutex;
  record(m, {.what = kind::park,
             .detail = static_cast<std::uint8_t>(f->reason),
             .subject = f->id,
             .object = has_lock ? reinterpret_cast<std::uint64_t>(f->lock) : 0});
}

void run(const machine* m, const fiber* f) noexcept {
  const std::uint8_t how = f->in_place ? 2 : f->fresh.load(mo::relaxed) ? 1 : 0;
  record(m, {.what = kind::run, .detail = how, .subject = f->id});
}

void ready(const machine* m, const fiber* f, woke how) noexcept {
  const fiber* const by = m != nullptr ? m->my_fiber() : nullptr;
  const point e{.what = kind::ready,
                .detail = static_cast<std::uint8_t>(how),
                .subject = f->id,
                .object = by != nullptr ? by->id : 0};
  if (m != nullptr) {
    record(m, e);
  } else {
    record_here(e, nullptr);
  }
}

void spawn(const machine* m, const fiber* f) noexcept {
  const point e{.what = kind::spawn,
                .subject = f->id,
                .object = reinterpret_cast<std::uint64_t>(f->start),
                .extra = static_cast<std::uint32_t>(f->spawner)};
  if (m != nullptr) {
    record(m, e);
  } else {
    record_by_others(e, nullptr);
  }
}

void polled(const machine* m, const fiber_list& readied) noexcept {
  if (!readied.empty()) record(m, {.what = kind::poll, .extra = static_cast<std::uint32_t>(readied.size())});
}

void stolen(const fiber* f, const processor* by, const processor& from) noexcept {
  record_here({.what = kind::steal, .subject = f->id, .object = from.index}, by);
}

void call_begins(const machine* m, entry how) noexcept {
  record(m, {.what = kind::call_begin,
             .detail = static_cast<std::uint8_t>(how),
             .subject = m->my_fiber()->id,
             .object = reinterpret_cast<std::uint64_t>(m->call.load(mo::relaxed))});
}

void call_ends(const machine* m, const call_site* site, bool lost) noexcept {
  record(m, {.what = kind::call_end,
             .detail = static_cast<std::uint8_t>(lost),
             .subject = m->my_fiber()->id,
             .object = reinterpret_cast<std::uint64_t>(site)});
}

void queue_return(const machine* m, const fiber* f) noexcept {
  record(m, {.what = kind::queue_return, .detail = static_cast<std::uint8_t>(f->in_place), .subject = f->id});
}

void name(const fiber* f) noexcept {
  constexpr std::size_t each = sizeof(event::object) + sizeof(event::extra);
  const std::size_t n = ::strnlen(f->name, sizeof f->name);
  for (std::size_t at = 0, part = 0; at < n; at += each, ++part) {
    char piece[each] = {};
    std::memcpy(piece, f->name + at, n - at < each ? n - at : each);
    point e{.what = kind::name, .detail = static_cast<std::uint8_t>(part), .subject = f->id};
    std::memcpy(&e.object, piece, sizeof e.object);
    std::memcpy(&e.extra, piece + sizeof e.object, sizeof e.extra);
    record_here(e, nullptr);
  }
}

bool start(std::size_t events_each) noexcept {
  const std::lock_guard hold(switching);
  if (is_on.load(mo::relaxed)) return false;
  if (events_each_ring.load(mo::relaxed) == 0) events_each_ring.store(events_each, mo::relaxed);
  if (made(monitors) == nullptr || made(others) == nullptr) return false;
  for (std::uint32_t i = 0; i < machine_count(); ++i) {
    machine* const m = machine_at(i);
    if (m != nullptr && made(m->trace) == nullptr) return false;
  }
  is_on.store(true, mo::seq_cst);
  the_scheduler.kept_calls_differ.fetch_or(scheduler::traced, mo::relaxed);
  for (std::uint32_t i = 0; i < machine_count(); ++i) {
    if (machine* const m = machine_at(i)) tell(m, true);
  }
  static_cast<void>(platform::heavy_fence());
  wait_for_machines();
  record_here({.what = kind::begun}, nullptr);
  return true;
}

void stop() noexcept {
  const std::lock_guard hold(switching);
  record_here({.what = kind::ended}, nullptr);  // no thread has seen is_on change before this stamp
  is_on.store(false, mo::seq_cst);
  the_scheduler.kept_calls_differ.fetch_and(~std::uint32_t{scheduler::traced}, mo::relaxed);
  for (std::uint32_t i = 0; i < machine_count(); ++i) {
    if (machine* const m = machine_at(i)) tell(m, false);
  }
}

void begin_machine(machine* m) noexcept {
  for (bool traced = is_on.load(mo::seq_cst);;) {
    if (traced) static_cast<void>(made(m->trace));  // without memory it records nothing
    tell(m, traced);
    const bool now = is_on.load(mo::seq_cst);
    if (now == traced) break;
    traced = now;
  }
  if (on()) record(m, {.what = kind::thread_start, .subject = static_cast<std::uint64_t>(m->tid.load(mo::relaxed))});
}

void in_fork_child() noexcept { is_on.store(false, mo::relaxed); }

void for_each_ring(void (*visit)(std::uint32_t number, const ring& r, void* arg), void* arg) noexcept {
  for (std::uint32_t i = 0; i < machine_count(); ++i) {
    const machine* const m = machine_at(i);
    const ring* const r = m != nullptr ? m->trace.load(mo::acquire) : nullptr;
    if (r != nullptr) visit(i, *r, arg);
  }
  if (const ring* const r = monitors.load(mo::acquire)) visit(ring_of_monitor, *r, arg);
  if (const ring* const r = others.load(mo::acquire)) visit(ring_of_others, *r, arg);
}

}  // namespace baton::sched::trace
