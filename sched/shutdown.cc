// Shutdown: ends every thread of the runtime, and leaves what a later start() goes on with: Ps, timers'
// heaps, pools, the poller. What is parked is only memory, so fibers that serve the runtime itself
// (mark_daemon()) stay where they are, and are looked after again once it runs again.
//
// Nothing may be lost that only the runtime can bring. So it must be shown that nobody needs it, while
// other threads may be about to:
//
//   a thread that comes to need it:       shutdown():
//     1. publish the need: a fiber that      1. up := false
//        exists, a timer that is armed,      2. heavy fence
//        a thread that waits                 3. look for fibers, timers, waiting threads;
//     2. light fence                          is there one, or was there no barrier (the kernel refuses
//                                                it), up := true, and nothing has happened
//     3. up false? start(), which waits
//        until shutdown() is done with it
//
// At least one of them sees the other. Only threads outside the runtime need steps 2 and 3: a fiber is
// itself a need, and while there is one nobody gets further than 3 here. After that only those that serve
// can still run: a plain thread may ready one at any time.
//
// Then the threads, in this order:
//   4. the monitor, which alone starts others
//   5. the Ms: each ends instead of going to sleep, which is decided, as sleeping is, under the scheduler's
//      lock (idle.cc); those that sleep are woken with nothing in their hand. A fiber that was readied
//      meanwhile runs on one that has not ended yet, or waits in its queue.
//   6. now that nothing moves, look once more: needs are looked for one after the other, and what went on
//      from one that had not been looked at to one that had (a fiber started another and ended, a timer
//      called for a fiber) was missed. Is there one, all goes on with new threads. Such a move mostly
//      takes a P, which 3 would have seen: so this is rare, and 5 does not wait for fibers that run for ever.
//   7. what the runtime has set for the whole process is put back: the action of SIGPIPE
//   8. the threads are joined: none is left in the process. Without `life`: a destructor of a thread_local
//      on one of them may start the runtime.
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

// Fibers that run, or are about to, are given so long to end: one that has told a waiter that it is
// done has a few instructions left. Those that wait are not.
constexpr std::int64_t patience_ns = 100'000'000;
constexpr std::int64_t pause_ns = 20'000;

constexpr int named_max = 5;

// Appends to a buffer as far as it has room.
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

// Who needs the runtime.
struct census {
  std::uint64_t fibers = 0;
  std::uint64_t awake = 0;  // of these, or of those that serve, not parked: they may end soon
  std::uint64_t timers = 0;
  int runs = 0;          // threads in run(): its fiber is about to come, or has just gone
  int threads = 0;       // that wait for what it brings
  bool settled = false;  // no P was used meanwhile, so nothing went from one to the other (but see step 6)

  [[nodiscard]] bool nobody() const noexcept {
    return settled && fibers == 0 && awake == 0 && runs == 0 && timers == 0 && threads == 0;
  }
  // Whether to wait for somebody who may end soon.
  [[nodiscard]] bool may_change() const noexcept {
    return !settled || awake > 0 || (runs > 0 && fibers == 0) || nobody();
  }
};

// What belongs to the fiber stays as it is while it is parked; of one that is awake only the name may be
// torn, which is the price of a message. (Copied here: the sanitizer looks into calls to the C library.)
__attribute__((no_sanitize("thread"))) void count_fibers(census& c, text* named) noexcept {
  const std::uint32_t n = fiber_entries();
  for (std::uint32_t i = 0; i < n; ++i) {
    const fiber& f = *fiber_entry_at(i);
    if (!f.in_use.load(mo::relaxed)) continue;
    // acquire: pairs with retire(): only the result waits, for whoever has the handle.
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

// Whether nobody has a P. *taken is a number that changes whenever somebody gets one.
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
  // Timers first: one that calls for a fiber has readied it before it counts no more, also without a P.
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
    out.add("%s%d %s for a descriptor", between, c.threads, c.threads == 1 ? "thread waits" : "threads wait");
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
  while (!is_ending()) {  // before the lock: exit() may have stopped a shutdown() that has it
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
          // Under `life`: a start would want all of it.
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
    // Without the lock: who waits for it may be the one we wait for.
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
  platform::light_fence();  // the need is published, then look; pairs with close_if_nobody_needs_it()
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
