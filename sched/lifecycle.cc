// Start, exit, fork.
//
// Start. It runs under the mutex `life`. The settings that Ms and the monitor read are written before the first thread
// exists. P 0 .. procs-1 begin idle, and the first work wakes a thread. After a shutdown (shutdown.cc) the runtime can
// start again, with other settings, on what was left.
//
// Exit. The runtime is leaked. Static destructors run while Ms might still run fibers that use the statics. So an
// atexit handler tells all Ms to stop. Each M stops at its next call into the scheduler (notice bit `frozen`). The
// handler is registered again when run() returns, so it runs before the destructors of everything constructed until
// then. It waits for all Ms together, but not for long: a fiber that computes, or that sits in an undeclared call,
// cannot be stopped. The thread that calls exit() goes on as a plain thread. If it waits for a fiber, it waits for
// ever. So destructors do not wait (destructor_may_wait), calls that cannot do without the fiber (run(), join()) abort,
// and any other wait that lasts says so on stderr.
//
// Fork. The child has only the calling thread, and the locks of the other threads are in any state. If the calling
// thread is an M, its M gets the notice bit `dead`, and every use of the runtime says so. exec and _exit are fine. So
// is exit(), as far as it depends on the runtime: the handler knows that there is no thread to stop or to wait for, and
// it takes no lock. Destructors that would wait for a fiber leave it, as they do in the parent after exit().
// Destructors of timers wait for no callback and enter no section. A lock that another thread held is not waited for
// for long (platform/lock.h).
#include <baton/sched/lifecycle.h>

#include <baton/sched/closure_name.h>
#include <baton/sched/counters.h>
#include <baton/sched/environment.h>
#include <baton/sched/fiber_slab.h>
#include <baton/sched/interposer.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/log/log.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/machine_table.h>
#include <baton/sched/platform/asymmetric_fence.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/cpus.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/platform/module.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/sigpipe.h>
#include <baton/sched/stack/stack_overflow.h>
#include <baton/sched/stack/stack_pool.h>
#include <baton/sched/trace/collector.h>
#include <baton/sched/trace/trace.h>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>

namespace baton::sched {

namespace {

// How long the handler waits while one M sleeps or computes, and how long it waits for all of them together.
constexpr std::int64_t freeze_patience_ns = 20'000'000;
constexpr std::int64_t freeze_at_most_ns = 5'000'000'000;

// The first returns of run(), up to this number, register the exit handler again. After that only the 2^n-th returns
// do.
constexpr std::uint64_t registrations_without_gap = 1'000;

platform::atomic<const agent*> exiting{nullptr};  // the thread that called exit()

std::mutex procs_mutex;

// The number of Ps follows the number of CPUs until a caller sets another number. The watch belongs to the thread that
// starts the runtime, and then to the monitor.
constinit platform::cpu_watch cpus;
platform::atomic<bool> procs_follow_cpus{false};

int default_procs() noexcept {
  if (const auto n = environment_number("BATON_PROCS", 1, limits::procs_max, "using the CPUs")) return *n;
  procs_follow_cpus.store(true, mo::relaxed);
  return cpus.at(platform::now_ns());
}

const fiber* fiber_on(const stack& s) noexcept {
  const std::uint32_t n = fiber_entries();
  for (std::uint32_t i = 0; i < n; ++i) {
    const fiber* const f = fiber_entry_at(i);
    if (f->in_use.load(mo::relaxed) && f->stack.top == s.top) return f;
  }
  return nullptr;
}

void name_overflowed(const stack& s, char* buffer, std::size_t size) noexcept {
  if (const fiber* const f = fiber_on(s)) {
    label_fiber(f->id, f->name, {buffer, size});
  } else {
    std::snprintf(buffer, size, "a fiber that has ended");
  }
}

void name_closure(const stack& s, char* buffer, std::size_t size) noexcept {
  closure_names closures;
  const fiber* const f = s ? fiber_on(s) : nullptr;
  std::snprintf(buffer, size, "%s", f != nullptr ? closures.of(*f) : "");
}

bool name_caller(char* buffer, unsigned size) noexcept {
  const machine* const m = this_machine();
  const fiber* const f = m != nullptr ? m->my_fiber() : nullptr;
  if (f == nullptr) return false;
  label_fiber(f->id, f->name, {buffer, size});
  return true;
}

// For the thread that faulted.
stack name_running(char* buffer, std::size_t size) noexcept {
  describe_caller(buffer, static_cast<unsigned>(size));
  const machine* const m = this_machine();
  const fiber* const f = m != nullptr ? m->my_fiber() : nullptr;
  return f != nullptr ? f->stack : stack{};
}

// An M that was told to stop and has not stopped yet. The class decides whether it is worth waiting for the M.
class latecomer {
 public:
  void watch(machine* m, bool fenced) noexcept {
    m_ = m;
    fenced_ = fenced;
    tid_ = m->tid.load(mo::relaxed);
    cpu_at_first_ = cpu_ = platform::thread_cpu_ns(tid_);
    asleep_since_ = 0;
  }

  [[nodiscard]] bool worth_waiting_for() noexcept {
    if (has_stopped(*m_, fenced_)) return false;
    if (m_->baton.is_at() == place::runtime) return true;  // a section ends soon; user code follows
    // The M is in user code. If it has the CPU, or waits for one, it gets to its next call, unless it computes for
    // ever. If it sleeps in an undeclared call, it does not. It may have run between two looks.
    const std::int64_t cpu = platform::thread_cpu_ns(tid_);
    const bool ran = cpu != cpu_;
    cpu_ = cpu;
    if (ran || platform::thread_is_runnable(tid_)) {
      asleep_since_ = 0;
      return cpu - cpu_at_first_ < freeze_patience_ns;
    }
    const std::int64_t now = platform::now_ns();
    if (asleep_since_ == 0) asleep_since_ = now;
    return now - asleep_since_ < freeze_patience_ns;
  }

  // Returns true if the M has stopped, or will stop when its call returns. Requires: the M was told; if `fenced`, a
  // heavy fence followed. Without a fence, the kernel must have looked at its thread since, under the lock of its CPU's
  // queue, and must have found it off the CPU. Then what the thread had stored before is seen here, and when the thread
  // comes back to the CPU it sees what it was told.
  [[nodiscard]] static bool has_stopped(const machine& m, bool fenced) noexcept {
    if (!fenced) {
      const auto now = platform::thread_call(m.tid.load(mo::relaxed)).what;
      using kind = platform::thread_call_state::kind;
      if (now != kind::in_call && now != kind::outside) return false;
    }
    const place where = m.baton.judge().where;
    return where == place::idle || where == place::syscall;
  }

 private:
  machine* m_ = nullptr;
  bool fenced_ = true;
  std::int32_t tid_ = 0;
  std::int64_t cpu_at_first_ = 0;
  std::int64_t cpu_ = 0;
  std::int64_t asleep_since_ = 0;
};

// This array is not on the stack, which may be a fiber's. It is not from the heap either, because the state of the heap
// is unknown.
constinit latecomer latecomers[machines_max];

void freeze() {
  if (the_scheduler.ending.load(mo::relaxed)) return;  // the handler is registered several times, and is needed once
  the_scheduler.ending.store(true, mo::seq_cst);
  machine* const mine = this_machine();
  if (mine != nullptr) {
    // A fiber called exit(). From here on its thread is a plain one: no other fiber runs on it, and a destructor that
    // waits waits as a thread.
    mine->baton.leave(place::syscall);
    set_this_machine(nullptr);
  }
  exiting.store(this_thread_agent(), mo::relaxed);  // for this thread; the others only see that they are not it
  if (the_scheduler.forked.load(mo::relaxed)) return;
  leave_ended_machines();  // otherwise a checker of threads would call it a leak
  const std::uint32_t n = machine_count();
  for (std::uint32_t i = 0; i < n; ++i) {
    if (machine* const m = machine_at(i); m != nullptr && m != mine) m->baton.tell(baton_word::frozen);
  }
  // A thread that enters a section from here on sees the notice. If the kernel refuses the fence, each M has to be seen
  // asleep once.
  const bool fenced = platform::heavy_fence();
  std::uint32_t late = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    machine* const m = machine_at(i);
    if (m != nullptr && m != mine && !latecomer::has_stopped(*m, fenced)) latecomers[late++].watch(m, fenced);
  }
  const std::int64_t give_up = platform::now_ns() + freeze_at_most_ns;
  while (late > 0 && platform::now_ns() < give_up) {
    for (std::uint32_t i = 0; i < late;) {
      if (latecomers[i].worth_waiting_for()) {
        ++i;
      } else {
        latecomers[i] = latecomers[--late];
      }
    }
    if (late > 0) ::sched_yield();
  }
  stack_pool::instance().show_to_leak_check();
}

void in_fork_child() {
  scheduler& s = the_scheduler;
  s.forked.store(true, mo::relaxed);
  platform::spin_locks_in_fork_child();
  trace::in_fork_child();
  s.up.store(false, mo::relaxed);  // the next use by a plain thread goes through start(), which refuses
  if (machine* const m = this_machine()) m->baton.tell(baton_word::dead);
}

// Part of every start.
void take_settings(const settings& s) noexcept {
  scheduler& sched = the_scheduler;
  open_standard_descriptors();
  log_to_likely_stderr();
  sched.config = s;
  if (environment_flag("BATON_STRICT")) sched.config.strict_blocking = true;
  if (environment_flag("BATON_SCATTER")) sched.config.scatter = true;
  std::size_t stack_size = s.stack_size;
  if (stack_class_for(stack_size) == stack_classes) {
    stack_size = stack_class_size(stack_classes - 1);
    warn("options.stack_size is %zu; the largest stack has %zu bytes, which is used", s.stack_size, stack_size);
  }
  sched.stack_size.store(stack_size, mo::relaxed);
  sched.stack_class.store(stack_class_for(stack_size), mo::relaxed);
  sched.max_threads.store(std::clamp(s.max_threads, 1, limits::threads_max), mo::relaxed);
  sched.idle_thread_ends_after_ns.store(s.idle_thread_ends_after_ns, mo::relaxed);
  if (s.ignore_sigpipe) outlive_sigpipe();
  platform::note_process();
}

int procs_wanted(const settings& s) noexcept {
  return std::clamp(s.procs > 0 ? s.procs : default_procs(), 1, limits::procs_max);
}

// Not from the heap: a start does not fail for want of memory. Never destroyed.
processor* make_processors() noexcept {
  alignas(processor) static std::byte room[sizeof(processor) * limits::procs_max];
  auto* const first = reinterpret_cast<processor*>(room);
  std::uninitialized_default_construct_n(first, limits::procs_max);
  return std::launder(first);
}

void start_first(const settings& s) noexcept {
  scheduler& sched = the_scheduler;
  take_settings(s);
  platform::init_clock();
  // The barrier may be refused by the kernel. The environment can refuse it too, which shows what that costs.
  platform::init_barriers(environment_flag("BATON_NO_MEMBARRIER"));
  set_caller_namer(name_caller);
  set_overflow_namer(name_overflowed, name_running, name_closure);
  install_overflow_handler();
  install_first_poller();
  ::pthread_atfork(nullptr, nullptr, in_fork_child);
  platform::keep_module_loaded();
  attach_interposer();
  sched.ps = make_processors();
  for (int i = 0; i < limits::procs_max; ++i) sched.ps[i].index = static_cast<std::uint32_t>(i);
  const int n = procs_wanted(s);
  sched.procs.store(n, mo::relaxed);
  sched.procs_ever.store(n, mo::release);
  for (int i = n; i-- > 0;) put_idle(&sched.ps[i]);
  std::atexit(freeze);
  sched.has_ps.store(true, mo::release);
  sched.up.store(true, mo::release);
  start_monitor();
  trace::collect_until_exit();
}

void start_again(const settings& s) noexcept {
  take_settings(s);
  {
    const std::lock_guard guard(procs_mutex);
    procs_follow_cpus.store(false, mo::relaxed);
    change_procs(procs_wanted(s));
  }
  install_overflow_handler();
  main_returned();  // exit() stops the fibers before it destroys what has been made since the first start
  // seq_cst: a thread that sees it is served from here on.
  the_scheduler.up.store(true, mo::seq_cst);
  start_monitor();
}

}  // namespace

constinit scheduler_storage the_scheduler_storage;

void start(const settings& s) noexcept {
  if (the_scheduler.forked.load(mo::relaxed)) {
    fatal("the runtime does not work in the child of a fork; call only exec or _exit there");
  }
  // A fiber does not start the runtime here: an agent has started the fiber, and the fiber keeps the runtime up.
  if (!is_running() && this_machine() == nullptr) {
    scheduler& sched = the_scheduler;
    if (is_ending()) return;  // before the lock: exit() may have stopped a shutdown() that holds it
    const std::lock_guard hold(sched.life);
    if (is_ending()) return;
    if (!is_running()) return sched.has_ps.load(mo::relaxed) ? start_again(s) : start_first(s);
  }
  if (s.procs > 0) set_procs(s.procs);
}

void start_for_run(const settings& s) noexcept {
  platform::light_fence();  // pairs with the heavy fence of the shutdown, as in runtime_needed()
  start(s);
}

// acquire: pairs with the end of start_first().
bool is_running() noexcept { return the_scheduler.up.load(mo::acquire); }
bool is_ending() noexcept { return the_scheduler.ending.load(mo::relaxed); }
bool exits_here() noexcept { return is_ending() && exiting.load(mo::relaxed) == this_thread_agent(); }

bool destructor_may_wait(const char* left) noexcept {
  if (!exits_here()) return true;
  say_left(left);
  return false;
}

// The child of a fork has none of the fibers, and it loses nothing if it leaves them.
void say_left(const char* what) noexcept {
  if (!the_scheduler.forked.load(mo::relaxed)) say_frozen(what);
}

void say_frozen(const char* what) noexcept {
  static platform::atomic<bool> said{false};
  if (!said.exchange(true, mo::relaxed)) warn("exit() has stopped all fibers: %s", what);
}

int procs() noexcept {
  if (!is_running()) start(settings{});
  return the_scheduler.procs.load(mo::relaxed);
}

int set_procs(int n) noexcept {
  if (!is_running()) start(settings{});
  scheduler& s = the_scheduler;
  n = std::clamp(n, 1, limits::procs_max);
  const std::lock_guard guard(procs_mutex);
  procs_follow_cpus.store(false, mo::relaxed);
  const int before = s.procs.load(mo::relaxed);
  if (n == before) return before;
  change_procs(n);
  wake_monitor();
  return before;
}

void follow_cpu_count(std::int64_t now) noexcept {
  if (!procs_follow_cpus.load(mo::relaxed)) return;
  const int n = std::min(cpus.at(now), limits::procs_max);
  if (n == the_scheduler.procs.load(mo::relaxed)) return;
  // The thread that holds the mutex is setting the number. The monitor does not wait for it.
  const std::unique_lock lock(procs_mutex, std::try_to_lock);
  if (lock.owns_lock() && procs_follow_cpus.load(mo::relaxed)) change_procs(n);
}

int max_threads() noexcept { return the_scheduler.max_threads.load(mo::relaxed); }

int set_max_threads(int n) noexcept {
  const int before = the_scheduler.max_threads.exchange(std::clamp(n, 1, limits::threads_max), mo::relaxed);
  if (is_running()) thread_added();  // or a thread may be added now: for fibers that wait to be locked to one
  return before;
}

void main_returned() noexcept {
  static platform::atomic<std::uint64_t> times{0};
  const std::uint64_t n = times.fetch_add(1, mo::relaxed) + 1;
  // The C library keeps each entry until the process ends. A program that calls run() for ever must not fill the memory
  // with entries.
  if (n <= registrations_without_gap || std::has_single_bit(n)) std::atexit(freeze);
}

counters read_counters() noexcept {
  const scheduler& s = the_scheduler;
  counters c;
  const int n = s.procs_ever.load(mo::acquire);
  for (int i = 0; i < n; ++i) {
    processor& p = s.ps[i];
    c.switches += p.picks();
    c.spawned += p.spawns.read();
    c.steals += p.steals.read();
    c.timers += p.timers.to_come();
  }
  c.spawned += s.spawned_outside.load(mo::relaxed);
  const std::uint32_t entries = fiber_entries();
  for (std::uint32_t i = 0; i < entries; ++i) {
    const fiber* const f = fiber_entry_at(i);
    if (!f->in_use.load(mo::relaxed)) continue;
    ++c.fibers;
    if (f->word.peek() == park_word::parked) ++c.fibers_parked;
  }
  c.threads = static_cast<std::uint64_t>(s.threads.load(mo::relaxed));
  c.threads_idle = static_cast<std::uint64_t>(s.threads_idle.load(mo::relaxed));
  c.threads_started = s.threads_started.load(mo::relaxed);
  c.thread_failures = s.thread_failures.load(mo::relaxed);
  c.procs = static_cast<std::uint64_t>(s.procs.load(mo::relaxed));
  c.procs_idle = static_cast<std::uint64_t>(std::max(0, s.idle_ps.load(mo::relaxed)));
  c.handoffs_predicted = s.handoffs_predicted.load(mo::relaxed);
  c.handoffs_unknown = s.handoffs_unknown.load(mo::relaxed);
  c.handoffs_hinted = s.handoffs_hinted.load(mo::relaxed);
  c.retakes = s.retakes.load(mo::relaxed);
  c.rescues = s.rescues.load(mo::relaxed);
  c.strict_reports = s.strict_reports.load(mo::relaxed);
  c.returned_slow = s.returned_slow.load(mo::relaxed);
  c.slices_ended = s.slices_ended.load(mo::relaxed);
  c.polls = s.polls.load(mo::relaxed);
  const auto stacks = stack_pool::instance().read();
  c.stacks = stacks.stacks;
  c.stack_bytes = stacks.bytes_mapped;
  c.stacks_unguarded = stacks.guard_failures;
  switch (stack_pool::instance().guard()) {
    case stack_pool::guard_kind::guard_region: c.guard = "region"; break;
    case stack_pool::guard_kind::mprotect_pages: c.guard = "mprotect"; break;
    case stack_pool::guard_kind::none: c.guard = "none"; break;
  }
  // "refused" once declared calls know it, too: from then on each hands its P over.
  if (platform::barriers() == platform::barrier_kind::fence) {
    c.barrier = "fence";
  } else {
    c.barrier = the_scheduler.ps_stay() ? "refused" : "membarrier";
  }
  return c;
}

}  // namespace baton::sched
