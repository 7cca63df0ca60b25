// Shutdown: ends every thread of the runtime, and leaves what a later start() goes on with: Ps, timers'
// heaps, pools, the poller. What is parked is only memory, so fibers that serve the runtime itself
// (this_fiber_serves()) stay where they are, and are looked after again once it runs again.
//
// Nothing may be lost that only the runtime can bring. So it must be shown that nobody needs it, while
// other threads may be about to:
//
//   a thread that comes to need it:       shutdown():
//     1. publish the need: a fiber that      1. up := false
//        exists, a timer that is armed,      2. heavy barrier
//        a thread that waits                 3. look for fibers, timers, waiting threads;
//     2. light barrier                          is there one, up := true, and nothing has happened
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
//      meanwhile runs on one that has not ended yet, or waits in its queue for the next start.
// All of them are joined: none is left in the process.
#include <baton/sched/lifecycle.h>

#include <baton/sched/fiber_slab.h>
#include <baton/sched/platform/barrier.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/spawn.h>

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
  int threads = 0;  // that wait for what it brings

  [[nodiscard]] bool nobody() const noexcept { return fibers == 0 && awake == 0 && timers == 0 && threads == 0; }
};

// What belongs to the fiber stays as it is while it is parked; of one that is awake only the name may be
// torn, which is the price of a message.
__attribute__((no_sanitize("thread"))) void count_fibers(census& c, text* named) noexcept {
  const std::uint32_t n = fiber_entries();
  for (std::uint32_t i = 0; i < n; ++i) {
    const fiber& f = *fiber_entry_at(i);
    if (!f.in_use.load(mo::relaxed)) continue;
    // acquire: pairs with retire(): only the result waits, for whoever has the handle.
    if (f.join.load(mo::acquire) == join_ended) continue;
    const bool parked = f.word.peek() == park_word::parked;
    if (!parked) ++c.awake;
    if (f.serves) continue;
    if (++c.fibers > named_max || named == nullptr) continue;
    named->add("%s fiber %llu", c.fibers > 1 ? "," : "", static_cast<unsigned long long>(f.id));
    if (f.name[0] != '\0') named->add(" \"%s\"", f.name);
  }
}

census take_census(text* named = nullptr) noexcept {
  const scheduler& s = the_scheduler;
  census c;
  count_fibers(c, named);
  const int n = s.procs_ever.load(mo::acquire);
  for (int i = 0; i < n; ++i) c.timers += s.ps[i].timers.to_come();
  c.threads = s.threads_served.load(mo::seq_cst);
  return c;
}

// Steps 1 to 3.
bool close_if_nobody_needs_it() noexcept {
  scheduler& s = the_scheduler;
  s.up.store(false, mo::seq_cst);
  platform::heavy_barrier();  // pairs with runtime_needed()
  if (take_census().nobody()) return true;
  s.up.store(true, mo::seq_cst);
  return false;
}

void explain(std::span<char> why) noexcept {
  char names[300];
  text named(names);
  const census c = take_census(&named);
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
  if (between[0] == '\0') out.add("other threads keep starting fibers");
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
  const std::lock_guard hold(s.life);
  if (!is_running()) return true;
  if (is_ending()) {
    text(why).add("exit() has stopped all fibers");
    return false;
  }
  const std::int64_t give_up = platform::now_ns() + patience_ns;
  for (;;) {
    const census c = take_census();
    if (c.nobody() && close_if_nobody_needs_it()) break;
    // Waiting helps only if somebody is awake who may end, or has just come.
    if ((!c.nobody() && c.awake == 0) || platform::now_ns() >= give_up) {
      explain(why);
      return false;
    }
    const timespec pause{0, pause_ns};
    ::nanosleep(&pause, nullptr);
  }
  end_monitor();
  end_machines();
  return true;
}

void runtime_needed() noexcept {
  platform::light_barrier();  // the need is published, then look; pairs with close_if_nobody_needs_it()
  if (__builtin_expect(!the_scheduler.up.load(mo::relaxed), 0)) start(settings{});
}

served_wait::served_wait(const strand* who) noexcept : counted_(who->what == strand::kind::plain_thread) {
  if (!counted_) return;
  the_scheduler.threads_served.fetch_add(1, mo::seq_cst);
  runtime_needed();
}

served_wait::~served_wait() {
  if (counted_) the_scheduler.threads_served.fetch_sub(1, mo::seq_cst);
}

void this_fiber_serves() noexcept { current_fiber()->serves = true; }

}  // namespace baton::sched
