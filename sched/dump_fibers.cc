// Reports what every fiber does. No fiber is stopped for it: a fiber may run, end, and be another one while this code
// looks, so each line is only likely to be true. A trace is printed if the fiber was found at the same place before and
// after its stack was read.
//
// A parked fiber's stack begins at its saved context. If a fiber waits in place (thread_lock.cc), or is in a declared
// call, its thread is blocked, and /proc tells where.
#include <baton/sched/lifecycle.h>

#include <baton/sched/closure_name.h>
#include <baton/sched/fiber_slab.h>
#include <baton/sched/lock_head.h>
#include <baton/sched/log/log.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/machine.h>
#include <baton/sched/unwind/stack_trace.h>
#include <baton/sched/wait_reason.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace baton::sched {

namespace {

// This many frames fit the buffer, which lies on the caller's stack: perhaps the smallest stack of a fiber.
constexpr std::size_t frames_max = 16;
constexpr std::size_t text_max = 2048;

// A trace costs up to a millisecond, and a million fibers wait in a few places. The owner of a mutex is searched for
// among all fibers.
constexpr int traces_max = 1000;
constexpr int owners_max = 1000;

// What must be the same before and after.
struct sight {
  std::uint64_t id = 0;
  bool in_use = false;
  bool parked = false;
  bool in_place = false;
  bool in_call = false;
  bool ended = false;  // and not joined yet
  void* context = nullptr;
  const machine* on = nullptr;
  stack_bounds bounds;

  bool operator==(const sight& o) const noexcept {
    return id == o.id && in_use == o.in_use && parked == o.parked && in_place == o.in_place && in_call == o.in_call &&
           context == o.context && on == o.on && bounds.low == o.bounds.low && bounds.high == o.bounds.high;
  }
};

__attribute__((no_sanitize("thread"))) sight look_at(const fiber& f) noexcept {
  sight s;
  s.id = f.id;
  s.in_use = f.in_use.load(mo::relaxed);
  s.parked = f.word.peek() == park_word::parked;
  s.in_place = f.in_place;
  s.in_call = f.syscall_depth > 0;
  s.ended = f.join.load(mo::relaxed) == join_ended;
  s.context = f.context;
  s.on = f.on;
  s.bounds.high = reinterpret_cast<std::uintptr_t>(f.stack.top);
  s.bounds.low = s.bounds.high - f.stack.size;
  return s;
}

// Returns the number of the fiber's frames if the fiber stays where it was, else 0.
std::size_t trace(const fiber& f, const sight& before, std::span<void*> frames) noexcept {
  std::size_t n = 0;
  if (before.parked && !before.in_place) {
    if (const auto from = context_of(&f.context)) n = unwind(*from, before.bounds, frames);
  } else if (before.on != nullptr && (before.parked || before.in_call)) {
    const std::int32_t tid = before.on->tid.load(mo::relaxed);
    const auto call = platform::thread_call(tid);
    const auto from = context_of(call);
    if (before.on->my_fiber() != &f || !from) return 0;
    n = unwind(*from, before.bounds, frames);
    const auto now = platform::thread_call(tid);
    if (before.on->my_fiber() != &f || now.sp != call.sp || now.pc != call.pc) return 0;
  }
  return look_at(f) == before ? n : 0;
}

// The name and the reason may change while this code reads them. (The name is copied here: the sanitizer looks into
// calls to the C library.) owners: the number of owners that have been searched for.
__attribute__((no_sanitize("thread"))) std::size_t describe(const fiber& f, const sight& s, int* owners,
                                                            closure_names& closures, char* text,
                                                            std::size_t size) noexcept {
  owner_words owner;
  if (s.parked && f.reason == wait_reason::mutex && ++*owners <= owners_max) owner = describe_lock_owner(f);
  if (!(look_at(f) == s)) owner.text[0] = '\0';
  const bool owned = owner.text[0] != '\0';
  const char* const waits_for = owned ? owner.text : name_of(f.reason);
  char name[limits::fiber_name_max];
  for (std::size_t i = 0; i < sizeof name; ++i) name[i] = static_cast<const volatile char&>(f.name[i]);
  char quoted[fiber_label_max];
  quote_name(name, quoted);
  const char* runs = closures.of(f);
  if (!(look_at(f) == s)) runs = "";
  const int n =
      std::snprintf(text, size, "fiber %llu %s %s%s%s%s spawned by %llu%s%s\n", static_cast<unsigned long long>(s.id),
                    quoted, s.parked ? "waits for " : (s.ended ? "ended" : "runnable"), s.parked ? waits_for : "",
                    owned ? "," : "", s.in_call ? " in a declared call" : "",
                    static_cast<unsigned long long>(f.spawner), runs[0] != '\0' ? ", runs " : "", runs);
  return n > 0 ? std::min(static_cast<std::size_t>(n), size - 1) : 0;
}

// write: returns false when there is no use in going on.
template <class Write>
void dump(const Write& write) noexcept {
  char text[text_max];
  void* frames[frames_max];
  closure_names closures;
  int traces = 0;
  int owners = 0;
  const std::uint32_t n = fiber_entries();
  for (std::uint32_t i = 0; i < n; ++i) {
    const fiber& f = *fiber_entry_at(i);
    const sight s = look_at(f);
    if (!s.in_use) continue;
    std::size_t length = describe(f, s, &owners, closures, text, sizeof text);
    if (traces < traces_max) {
      if (const std::size_t count = trace(f, s, frames); count > 0) {
        ++traces;
        length += format({frames, count}, {text + length, sizeof text - length});
      }
    }
    if (!write({text, length})) return;
  }
  if (traces == traces_max) static_cast<void>(write("(no stacks beyond the first 1000)\n"));
}

}  // namespace

void dump_fibers(int fd) noexcept {
  dump([fd](std::string_view text) noexcept { return write_all(fd, text); });
}

void log_fibers() noexcept {
  const std::int64_t patience_ends = log_patience_ends_ns();
  dump([patience_ends](std::string_view text) noexcept {
    log_text(text, patience_ends);
    return true;  // a slow reader gets what comes later
  });
}

}  // namespace baton::sched
