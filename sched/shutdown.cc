// Shutdown ends every thread of the runtime. It keeps what a later start() continues with: Ps, timer heaps, pools, the
// poller. A parked fiber is only memory, so the daemon fibers (mark_daemon()) stay where they are. They are served
// again as soon as the runtime runs again.
//
// Shutdown must not lose anything that only the runtime can bring. So it must show that nothing needs the runtime,
// although other threads may be about to need it:
//
//   a thread that comes to need it:       shutdown():
//     1. publish the need: a fiber that      1. up := false
//        exists, an armed timer,             2. heavy fence
//        a waiting thread                    3. look for fibers, timers, waiting threads;
//     2. light fence                            if there is one, or if the fence failed (the kernel refuses
//     3. up is false? call start(),             membarrier), up := true, and nothing has happened
//        which waits until shutdown() is
//        done
//
// At least one of the two sees the other. Only threads outside the runtime need steps 2 and 3: a fiber is itself a
// need, and while one exists, shutdown does not get beyond its step 3. After that only daemon fibers can still run: a
// plain thread may ready one at any time.
//
// Then the threads end, in this order:
//   4. the monitor, which alone starts other threads
//   5. the Ms: each ends instead of going to sleep. That decision, like the one to sleep, is made under the scheduler's
//      lock (idle.cc). Sleeping Ms are woken with no P. A fiber that was readied meanwhile runs on an M that has not
//      ended yet, or waits in its queue.
//   6. now that nothing moves, another look: step 3 looks at one need after the other. It misses what moves from a
//      place it has not looked at yet to one it has (a fiber starts another and ends, a timer readies a fiber). If
//      there is a need, the runtime continues with new threads. Such a move mostly takes a P, which step 3 would have
//      seen. So this is rare, and step 5 does not wait for fibers that run forever.
//   7. what the runtime has set for the whole process is restored: the action of SIGPIPE, and the handlers that
//      report stack overflows
//   8. the threads are joined, so that none is left in the process. This happens without `life`: a destructor of a
//      thread_local on one of them may start the runtime.
#include <baton/sched/lifecycle.h>

#include <baton/sched/deadlock.h>
#include <baton/sched/fiber_slab.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/asymmetric_fence.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/sigpipe.h>
#include <baton/sched/spawn.h>
#include <baton/sched/stack/stack_overflow.h>
#include <baton/sched/stack/stack_pool.h>

#include <time.h>
#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace baton::sched {

namespace {

// How long shutdown waits for fibers that run or are about to run. A fiber that has just told a waiter that it is done
// has a few instructions left. Shutdown does not wait for parked fibers.
constexpr std::int64_t patience_ns = 100'000'000;
constexpr std::int64_t pause_ns = 20'000;

constexpr int named_max = 5;

// Appends to a buffer while it has room.
class text {
 public:
  explicit text(std::span<char> out) noexcept : out_(out) {
    if (!out_.empty()) out_[0] = '\0';
  }
  void add(const char* format, ...) noexcept __attribute__((format(printf, 2, 3))) {
    if (used_ >= out_.size()) return;
    va_list args;
    va_start(args, format);
    const int n = std::vsnprintf(out_.data() + used_, out_.size() - used_, format, args);
    va_end(args);
    if (n > 0) used_ += static_cast<std::size_t>(n);
  }

 private:
  std::span<char> out_;
  std::size_t used_ = 0;
};

// What needs the runtime.
struct census {
  std::uint64_t fibers = 0;
  std::uint64_t awake = 0;  // fibers, daemons included, that are not parked: they may end soon
  std::uint64_t timers = 0;
  int runs = 0;          // threads in run(): the fiber of each is about to come, or has just gone
  int threads = 0;       // that wait for what the runtime brings
  bool settled = false;  // no P was used meanwhile, so no need moved from one place to another (but see step 6)

  [[nodiscard]] bool nobody() const noexcept {
    return settled && fibers == 0 && awake == 0 && runs == 0 && timers == 0 && threads == 0;
  }
  // Returns true if waiting may help, because something may end soon.
  [[nodiscard]] bool may_change() const noexcept {
    return !settled || awake > 0 || (runs > 0 && fibers == 0) || nobody();
  }
};

// The fields of a parked fiber do not change. Of an awake fiber only the name may be torn, which is acceptable in a
// message. (The name is copied here because the sanitizer looks into calls to the C library.)
__attribute__((no_sanitize("thread"))) void count_fibers(census& c, text* named) noexcept {
  const std::uint32_t n = fiber_entries();
  for (std::uint32_t i = 0; i < n; ++i) {
    const fiber& f = *fiber_entry_at(i);
    if (!f.in_use.load(mo::relaxed)) continue;
    // acquire: pairs with retire(). Only the result is left; it waits for the owner of the handle.
    if (f.join.load(mo::acquire) == join_ended) continue;
    const bool parked = f.word.peek() == park_word::parked;
    if (!parked) ++c.awake;
    if (f.is_daemon) continue;
    if (++c.fibers > named_max || named == nullptr) continue;
    char name[limits::fiber_name_max];
    for (std::size_t k = 0; k < sizeof name; ++k) name[k] = static_cast<const volatile char&>(f.name[k]);
    char label[fiber_label_max];
    label_fiber(f.id, name, label);
    named->add("%s %s", c.fibers > 1 ? "," : "", label);
  }
}

// Returns true if no M has a P. *taken is a number that changes whenever an idle P is taken.
bool all_ps_idle(std::uint64_t* taken) noexcept {
  scheduler& s = the_scheduler;
  platform::lock_guard guard(s.lock);
  *taken = s.ps_taken;
  for (int i = 0; i < s.procs_ever.load(mo::relaxed); ++i) {
    if (!s.ps[i].idle.load(mo::relaxed)) return false;
  }
  return true;
}

census take_census(text* named = nullptr) noexcept {
  const scheduler& s = the_scheduler;
  census c;
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  const bool idle = all_ps_idle(&before);
  // Timers first: a timer that readies a fiber has done so before it stops counting, even on a thread
  // without a P.
  const int n = s.procs_ever.load(mo::acquire);
  for (int i = 0; i < n; ++i) c.timers += s.ps[i].timers.to_come();
  count_fibers(c, named);
  c.runs = run_caller_count();
  c.threads = s.threads_served.load(mo::seq_cst);
  c.settled = idle && all_ps_idle(&after) && before == after;
  return c;
}

enum class closing : std::uint8_t { done, needed, cannot_tell };

// Steps 1 to 3.
closing close_if_nobody_needs_it() noexcept {
  scheduler& s = the_scheduler;
  s.up.store(false, mo::seq_cst);
  const bool fenced = platform::heavy_fence();  // pairs with runtime_needed()
  if (fenced && take_census().nobody()) return closing::done;
  s.up.store(true, mo::seq_cst);
  return fenced ? closing::needed : closing::cannot_tell;
}

// After step 5.
void go_on() noexcept {
  the_scheduler.up.store(true, mo::seq_cst);
  start_monitor();
}

void explain(const census& c, const char* names, std::span<char> why) noexcept {
  text out(why);
  const char* between = "";
  if (c.fibers > 0) {
    out.add("%llu %s not ended:%s", static_cast<unsigned long long>(c.fibers),
            c.fibers == 1 ? "fiber has" : "fibers have", names);
    if (c.fibers > named_max) out.add(" and %llu more", static_cast<unsigned long long>(c.fibers - named_max));
    between = "; ";
  } else if (c.awake > 0) {
    out.add("the runtime's own fibers are busy");
    between = "; ";
  }
  if (c.timers > 0) {
    out.add("%s%llu %s set", between, static_cast<unsigned long long>(c.timers),
            c.timers == 1 ? "timer is" : "timers are");
    between = "; ";
  }
  if (c.threads > 0) {
    out.add("%s%d %s for a descriptor or a child", between, c.threads,
            c.threads == 1 ? "thread waits" : "threads wait");
    between = "; ";
  }
  if (between[0] == '\0') out.add("fibers come and go");
}

}  // namespace

bool shut_down(std::span<char> why) noexcept {
  scheduler& s = the_scheduler;
  if (s.forked.load(mo::relaxed)) {
    text(why).add("this is the child of a fork");
    return false;
  }
  if (const std::uint64_t id = current_fiber_id(); id != 0) {
    text(why).add("called by fiber %llu: it is for threads outside the runtime", static_cast<unsigned long long>(id));
    return false;
  }
  const std::int64_t give_up = platform::now_ns() + patience_ns;
  bool ended = false;
  while (!is_ending()) {  // before the lock: exit() may have stopped a shutdown() that holds it
    {
      const std::lock_guard hold(s.life);
      if (!is_running()) {
        ended = true;
        break;
      }
      char names[300];
      text named(names);
      const census c = take_census(&named);
      const closing closed = c.nobody() ? close_if_nobody_needs_it() : closing::needed;
      if (closed == closing::cannot_tell) {
        text(why).add("membarrier(2) has failed: whether a thread is about to use the runtime cannot be known");
        return false;
      }
      if (closed == closing::done) {
        end_monitor();
        end_machines();
        ended = take_census().nobody();
        if (ended) {
          // Under `life`: a start would need all of this.
          restore_sigpipe();
          remove_overflow_handler();
          release_stack_caches();
          stack_pool::instance().trim_all();
          break;
        }
        go_on();
      } else if (!c.may_change() || platform::now_ns() >= give_up) {
        explain(c, names, why);
        return false;
      }
    }
    // Without the lock: a thread that waits for it may be the one this thread waits for.
    const timespec pause{0, pause_ns};
    ::nanosleep(&pause, nullptr);
  }
  if (!ended) {
    text(why).add("exit() has stopped all fibers");
    return false;
  }
  join_ended_machines();
  return true;
}

void runtime_needed() noexcept {
  platform::light_fence();  // publish the need, then look; pairs with close_if_nobody_needs_it()
  if (__builtin_expect(!the_scheduler.up.load(mo::relaxed), 0)) start(settings{});
}

served_wait::served_wait(const agent* who) noexcept : counted_(who->what == agent::kind::plain_thread) {
  if (!counted_) return;
  the_scheduler.threads_served.fetch_add(1, mo::seq_cst);
  runtime_needed();
}

served_wait::~served_wait() {
  if (counted_) the_scheduler.threads_served.fetch_sub(1, mo::seq_cst);
}

void mark_daemon() noexcept {
  current_fiber()->is_daemon = true;
  platform::set_default_fp_mode();
}

}  // namespace baton::sched
