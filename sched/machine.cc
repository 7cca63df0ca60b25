// The life of an M, and the only thread_locals of the scheduler.
//
// A thread's main loop runs on its native context: get a P, find a fiber, switch to it. Fibers switch among themselves
// directly. The native context is entered only when nothing local is runnable, or when a fiber must wait while its M
// has no P. Only the monitor starts threads. It never does so in a runtime section, and never from a thread of the
// user's (the new thread would inherit the signal mask, affinity and scheduling class of that thread).
//
// A thread that has retired is a plain thread. The destructors of thread_locals run on it as on a plain thread; they
// may take long and may use the runtime. machine_table.cc says what becomes of the thread and its M.
#include <baton/sched/machine.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/machine_table.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/scatter.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/stack/stack_overflow.h>
#include <baton/sched/switch.h>
#include <baton/sched/this_machine.h>
#include <baton/sched/thread_lock.h>

#include <cxxabi.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <mutex>
#include <new>
#include <utility>

namespace baton::sched {

constinit thread_local machine* the_machine __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

constinit thread_local agent thread_agent __attribute__((tls_model("initial-exec"))){agent::kind::plain_thread};

template <bool scatters>
void run_machine(machine* m) noexcept {
  for (;;) {
    if (m->my_p() == nullptr) {
      if (!wait_for_p(m)) return;
    } else if (fiber* const f = find_work(m)) {
      if (scatters && sent_elsewhere(m, f)) continue;
      if (trace::on()) trace::run(m, f);
      switch_from_native(m, f);
      if (__builtin_expect(m->doomed, 0)) {
        if (processor* const p = m->my_p()) release_p(m, p, trace::left::locked_end);
        the_scheduler.threads.fetch_sub(1, mo::relaxed);
        return;
      }
    }
  }
}

void machine_main(void* arg) {
  auto* const m = static_cast<machine*>(arg);
  the_machine = m;
  if (the_scheduler.ending.load(mo::seq_cst)) m->baton.tell(baton_word::frozen);  // it came too late to be told
  m->doomed = false;
  m->expects_p = false;
  m->tid.store(platform::thread_id(), mo::relaxed);
  // The two words behind this pointer belong to the ABI; see exception_state.
  m->exceptions = reinterpret_cast<exception_state*>(abi::__cxa_get_globals());
  m->tsan_fiber = sanitizer::current_tsan_fiber();
  if (sanitizer::wants_stack_bounds) platform::thread_stack(&m->stack_bottom, &m->stack_size);
  {
    const alternate_stack signal_stack;
    const bool scatters = the_scheduler.config.scatter;
    m->baton.begin_scattering(scatters);
    trace::begin_machine(m);
    enter_runtime(m);  // not before: what comes first may take long, and is not work (see blocked_machines)
    scatters ? run_machine<true>(m) : run_machine<false>(m);
  }
  // The M is at its end: it has no P, and no fiber will ever be on it.
  if (trace::on())
    trace::record(m,
                  {.what = trace::kind::thread_end, .subject = static_cast<std::uint64_t>(m->tid.load(mo::relaxed))});
  m->baton.leave(place::idle);
  the_machine = nullptr;
  if (m->doomed) locked_thread_ends();
  retire_machine(m);
}

}  // namespace

// noinline keeps a caller from computing the thread_local's address itself and keeping it across a switch. The memory
// clobber keeps the compiler from concluding that two calls give the same value (with noinline alone, g++ 12 merged
// them).
__attribute__((noinline)) machine* this_machine() noexcept {
  machine* const m = the_machine;
  asm volatile("" ::: "memory");
  return m;
}

__attribute__((noinline)) void set_this_machine(machine* m) noexcept {
  the_machine = m;
  asm volatile("" ::: "memory");
}

__attribute__((noinline)) agent* this_thread_agent() noexcept {
  asm volatile("" ::: "memory");
  return &thread_agent;
}

namespace {

// The fiber makes calls, so it does not stay at one visit for long, but none of the calls may switch. From here on,
// including the rest of the call that has begun, it is like a fiber whose P was taken in user code. still: true if the
// slice is the one that the monitor meant; that slice may have ended just before.
void release_overdue_p(machine* m, bool still) noexcept {
  m->baton.clear_slice();
  processor* const p = m->my_p();
  if (!still || p == nullptr || m->my_fiber() == nullptr) return;
  const bool retired = p->index >= static_cast<std::uint32_t>(the_scheduler.procs.load(mo::relaxed));
  if (!retired) the_scheduler.rescues.fetch_add(1, mo::relaxed);
  release_p(m, p, retired ? trace::left::retired : trace::left::overdue);
}

}  // namespace

void detail::handle_notice(machine* m) noexcept { handle_notice(m, m->baton.notice()); }

void detail::handle_notice(machine* m, std::uint32_t n) noexcept {
  if ((n & baton_word::dead) != 0) {
    fatal("the runtime does not work in the child of a fork; call only exec or _exit there");
  }
  if ((n & baton_word::frozen) != 0) {
    // The process is ending: this thread stops for good, before the static destructors run.
    m->baton.leave(place::idle);
    static platform::atomic<std::uint32_t> never{0};
    for (;;) platform::futex_wait(never, 0, platform::forever_ns);
  }
  if (!m->baton.keep()) {
    if (trace::on() && m->my_p() != nullptr) trace::record(m, {.what = trace::kind::p_lost});
    m->p.store(nullptr, mo::relaxed);
  } else if ((n & baton_word::slice_overdue) != 0) {
    release_overdue_p(m, (n & baton_word::slice_over) != 0);
  }
}

namespace {

// Returns the number of Ms whose fibers sit in calls without a P. It does not count the Ms that are in the runtime
// without a P: they have just started or are going to sleep, and when the CPUs are busy each of them may be there for
// long. If they were counted, every thread that is slow to start would ask for another one.
int blocked_machines() noexcept {
  int blocked = 0;
  const std::uint32_t n = machine_count();
  for (std::uint32_t i = 0; i < n; ++i) {
    const machine* const m = machine_at(i);
    if (m == nullptr || (m->baton.notice() & baton_word::no_p) == 0) continue;
    const place where = m->baton.is_at();
    if (where == place::syscall || where == place::user) ++blocked;
  }
  return blocked;
}

// Returns how many threads there may be after a wish for one has been served. These threads are of use: one for each P,
// one that sleeps in the poller, a spare one that takes over when a call blocks, and the blocked ones. Where many
// block, more will block. Then more threads are started at a time and kept to spare, because a P whose call finds no
// idle thread waits until one is started, which takes ten times as long as waking one. If they are a few too many, some
// end again.
int threads_to_have() noexcept {
  const scheduler& s = the_scheduler;
  const int blocked = blocked_machines();
  const int spare = std::min(blocked / 4, limits::threads_spare_max);
  return std::min(s.procs.load(mo::relaxed) + 2 + blocked + spare + threads_to_scatter(),
                  s.threads.load(mo::relaxed) + 1 + spare);
}

}  // namespace

void want_thread() noexcept {
  // release: threads_to_have() counts what the caller did before. A caller that finds the flag set need not wake the
  // monitor: the monitor looks at the flag before it sleeps.
  if (!the_scheduler.threads_wanted.exchange(true, mo::acq_rel)) wake_monitor();
}

namespace {

// Returns 0, or an errno.
int start_machine() noexcept {
  scheduler& s = the_scheduler;
  reap_ended_machines();
  int error = 0;
  machine* const m = allocate_machine(&error);
  if (m == nullptr) return error;
  m->baton.leave(place::idle);  // until it runs
  s.threads.fetch_add(1, mo::relaxed);
  error = platform::start_thread(machine_main, m, "baton-m", platform::signals_of_thread::as_the_process, &m->thread);
  if (error != 0) {
    s.threads.fetch_sub(1, mo::relaxed);
    take_machine_back(m);
    return error;
  }
  s.threads_started.fetch_add(1, mo::relaxed);
  thread_added();
  return 0;
}

}  // namespace

void start_first_threads() noexcept {
  const scheduler& s = the_scheduler;
  const int first = std::min(s.procs.load(mo::relaxed) + 1, limits::threads_first) + threads_to_scatter();
  const int n = std::min(first, s.max_threads.load(mo::relaxed));
  for (int i = 0; i < n; ++i) {
    if (start_machine() != 0) want_thread();  // which reports it, if it goes on
  }
}

namespace {

// Says each line once: a thread is refused while fibers that are ready wait for one.
bool is_told(bool& said) noexcept {
  return the_scheduler.idle_ps.load(mo::relaxed) > 0 && any_queue_has_work() && !std::exchange(said, true);
}

void say_limit() noexcept {
  static bool said = false;
  if (!is_told(said)) return;
  warn(
      "all %d threads that max_threads allows are in use, %d of them in calls or locked to fibers that wait; ready "
      "fibers wait until one is free",
      the_scheduler.max_threads.load(mo::relaxed), blocked_machines());
}

void say_refused(int error) noexcept {
  static bool said = false;
  if (!is_told(said)) return;
  warn(
      "cannot start a thread beside the %d that there are (%s), %d of them in calls or locked to fibers that wait; "
      "ready fibers wait until one is free or another can be started",
      the_scheduler.threads.load(mo::relaxed), std::strerror(error), blocked_machines());
}

}  // namespace

bool start_wanted_threads() noexcept {
  scheduler& s = the_scheduler;
  if (has_machines_to_reap()) reap_ended_machines();
  // A wish that comes from here on is seen at the next sweep: the flag is cleared before this function counts.
  const bool spare = s.spare_wanted.load(mo::relaxed) && s.spare_wanted.exchange(false, mo::acq_rel);
  const bool now = s.threads_wanted.load(mo::relaxed) && s.threads_wanted.exchange(false, mo::acq_rel);
  const bool to_lock = thread_to_lock_is_wanted();
  if (!spare && !now && !to_lock) return true;
  const int enough = threads_to_have();
  int started = 0;
  for (; s.threads.load(mo::relaxed) < enough; ++started) {
    if (s.ending.load(mo::relaxed)) return true;
    if (started == limits::threads_started_at_once) {
      s.threads_wanted.store(true, mo::relaxed);  // the rest after a sweep
      return true;
    }
    // When there cannot be more threads, the monitor asks again while work waits.
    if (s.threads.load(mo::relaxed) >= s.max_threads.load(mo::relaxed)) {
      if (now) say_limit();
      return !now;
    }
    if (const int error = start_machine(); error != 0) {
      s.thread_failures.fetch_add(1, mo::relaxed);
      if (now) say_refused(error);
      return !now && !to_lock;
    }
  }
  // A fiber waits to be locked to a thread, but no thread counts as being of use at this moment: Ms on their way to
  // sleep did not count as blocked. So the monitor tries again.
  return !to_lock || started > 0 || s.threads.load(mo::relaxed) >= s.max_threads.load(mo::relaxed);
}

}  // namespace baton::sched
