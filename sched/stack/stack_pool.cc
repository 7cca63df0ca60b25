// Where a free stack is, per class:
//
//   young   released during this period. The warmest: taken first
//   old     released during an earlier period, and not needed since
//   cold    old ones whose pages have been given back, and chunks that were cut in advance. Taken last
//   (uncut) the rest of the newest region: no guard yet
//
// Once per period trim() examines each class. If nothing is old, young becomes old. What is still old one period later
// was not needed for a whole period. Its pages are given back, some stacks per call, until the class has no more free
// memory than `kept_bytes`. So stacks in regular use are never trimmed. The memory of a burst is given back within two
// periods and the time that the kernel takes. Neither acquire() nor release() pays for it. What counts is the bytes
// that a stack may have in memory, which is its size: without asking the kernel for each page, it is unknown how deep
// the stack was used.
//
// The monitor calls trim(). The monitor has no P, so no fiber waits for it. While it does nothing else, it sleeps no
// longer than trim() says. trim() costs one madvise for each stack of a burst, 1 to 3 us for a shallow one.
//
// Growing: chunks are cut in batches, because guards are cheaper by the dozen, and under a separate lock: a second
// thread that needs stacks waits for the first thread's batch instead of cutting another. System calls are made under
// grow_lock_ or no lock, never under a depot's.
//
// Invariants: a chunk below region.cut is in use or on exactly one list. Its guard was installed before (as far as
// possible). Free stacks are never written to: the links lie in the region's header.
#include <baton/sched/stack/stack_pool.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/valgrind.h>

#include <sys/mman.h>
#include <algorithm>
#include <array>
#include <cerrno>

#if BATON_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace baton::sched {

namespace {
namespace mo = platform::mo;

constexpr std::size_t batch = 64;  // chunks cut, or stacks trimmed, at a time
constexpr std::int64_t period_ns = 500'000'000;
constexpr std::size_t kept_bytes = std::size_t{4} << 20;  // of free stacks, per class
constexpr std::size_t bytes_a_call = std::size_t{16}
                                     << 20;  // that one call of trim() handles: a millisecond, if all of it is used

// Returns how many stacks `bytes` are.
std::size_t stacks_in(std::size_t bytes, std::size_t klass) noexcept { return bytes / stack_class_size(klass); }

// LeakSanitizer must look for pointers on the stacks of parked fibers, but not on free stacks (it would read each of
// their pages) and not in guards (it would crash: a guard region looks readable in /proc/self/maps).
void announce([[maybe_unused]] const stack* s, [[maybe_unused]] std::size_t n) noexcept {
#if BATON_ASAN
  for (; n > 0; --n, ++s) __lsan_register_root_region(s->limit(), s->size);
#endif
}
void withdraw([[maybe_unused]] const stack* s, [[maybe_unused]] std::size_t n) noexcept {
#if BATON_ASAN
  for (; n > 0; --n, ++s) __lsan_unregister_root_region(s->limit(), s->size);
#endif
}

// When a fiber ends, its frames may have left poison around their variables.
void unpoison([[maybe_unused]] const stack& s) noexcept {
#if BATON_ASAN
  ASAN_UNPOISON_MEMORY_REGION(s.limit(), s.size);
#endif
}

}  // namespace

stack_pool& stack_pool::instance() noexcept {
  static constinit stack_pool pool;
  return pool;
}

std::size_t stack_pool::acquire(std::size_t klass, stack* out, std::size_t n) noexcept {
  if (klass >= stack_classes) {
    errno = EINVAL;
    return 0;
  }
  const std::size_t found = take(klass, out, n);
  announce(out, found);
  if (found == n) return n;
  std::size_t got = found;
  bool warning = false;
  {
    platform::lock_guard guard(grow_lock_);
    got += take(klass, out + got, n - got);  // what another thread has cut while this one waited
    while (got < n) {
      const std::size_t more = cut(klass, out + got, n - got);
      if (more == 0) break;
      got += more;
    }
    warning = guards_.warning_due();
  }
  announce(out + found, got - found);
  if (warning) guards_.warn();
  return got;
}

std::size_t stack_pool::take(std::size_t klass, stack* out, std::size_t n) noexcept {
  depot& d = depots_[klass];
  platform::lock_guard guard(d.lock);
  std::size_t got = 0;
  while (got < n && (pop(d.young, out + got) || pop(d.old, out + got) || pop(d.cold, out + got))) ++got;
  return got;
}

// Cuts a batch. The caller gets what it wants, and the depot gets the rest. Returns 0 if there is no memory.
std::size_t stack_pool::cut(std::size_t klass, stack* out, std::size_t n) noexcept {
  stack_region*& r = growing_[klass];
  if (r == nullptr || r->cut.load(mo::relaxed) == r->count) {
    stack_region* const fresh = regions_.create(klass);
    if (fresh == nullptr) return 0;
    r = fresh;
  }
  const std::uint32_t first = r->cut.load(mo::relaxed);
  const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(batch, r->count - first));
  guards_.install(r->chunk(first), r->stride, r->stride - r->usable, count);
  std::array<stack, batch> fresh;
  for (std::uint32_t i = 0; i < count; ++i) {
    fresh[i] = r->stack_of(first + i);
    platform::tell_valgrind_of_stack(fresh[i].limit(), fresh[i].size);
  }
  // release: pairs with find(). A thread that sees these chunks as cut sees them guarded.
  r->cut.store(first + count, mo::release);
  stacks_.fetch_add(count, mo::relaxed);
  const std::size_t given = std::min<std::size_t>(n, count);
  std::copy_n(fresh.begin(), given, out);
  put_cold(klass, fresh.data() + given, count - given);
  return given;
}

void stack_pool::put_cold(std::size_t klass, const stack* in, std::size_t n) noexcept {
  if (n == 0) return;
  depot& d = depots_[klass];
  platform::lock_guard guard(d.lock);
  for (std::size_t i = n; i-- > 0;) push(d.cold, in[i]);  // the first is taken first
}

void stack_pool::release(const stack* in, std::size_t n) noexcept {
  while (n > 0) {
    std::size_t same = 1;
    while (same < n && in[same].klass == in->klass) ++same;
    release_same_class(in, same);
    in += same;
    n -= same;
  }
}

void stack_pool::release_same_class(const stack* in, std::size_t n) noexcept {
  const int saved_errno = errno;
  const std::size_t klass = in->klass;
  for (std::size_t i = 0; i < n; ++i) unpoison(in[i]);
  depot& d = depots_[klass];
  {
    platform::lock_guard guard(d.lock);
    for (std::size_t i = 0; i < n; ++i) push(d.young, in[i]);
  }
  withdraw(in, n);  // not before push(), which checks that they are the pool's
  errno = saved_errno;
}

std::int64_t stack_pool::trim(std::int64_t now_ns) noexcept {
  if (now_ns >= next_turn_ns_) {
    next_turn_ns_ = now_ns + period_ns;
    for (depot& d : depots_) turn(d);
  }
  bool more = false;
  bool later = false;
  for (std::size_t klass = 0; klass < stack_classes; ++klass) {
    depot& d = depots_[klass];
    if (d.ripe) trim_some(klass, std::max<std::size_t>(1, stacks_in(bytes_a_call, klass)));
    if (d.ripe) more = true;
    platform::lock_guard guard(d.lock);
    if (d.young.count + d.old.count > stacks_in(kept_bytes, klass)) later = true;
  }
  return more ? now_ns : later ? next_turn_ns_ : platform::forever_ns;
}

void stack_pool::trim_all() noexcept {
  for (std::size_t klass = 0; klass < stack_classes; ++klass) {
    for (int round = 0; round < 2; ++round) {  // the old ones, then those that were young
      turn(depots_[klass]);
      turn(depots_[klass]);
      while (depots_[klass].ripe) trim_some(klass, batch);
    }
  }
}

void stack_pool::turn(depot& d) noexcept {
  platform::lock_guard guard(d.lock);
  if (d.old.count > 0) {
    d.ripe = true;
  } else {
    d.old = d.young;
    d.young = {};
  }
}

// Moves up to n stacks from old to cold and gives their pages back. Clears `ripe` if no more are left to move.
void stack_pool::trim_some(std::size_t klass, std::size_t n) noexcept {
  const int saved_errno = errno;
  std::array<stack, batch> some;
  depot& d = depots_[klass];
  const std::size_t kept = stacks_in(kept_bytes, klass);
  std::size_t count = 0;
  {
    platform::lock_guard guard(d.lock);
    const std::size_t wanted = std::min(n, batch);
    while (count < wanted && d.young.count + d.old.count > kept && pop(d.old, &some[count])) ++count;
    if (count < wanted) d.ripe = false;
  }
  std::size_t trimmed = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const stack& s = some[i];
    if (::madvise(s.limit(), s.size, MADV_DONTNEED) == 0) ++trimmed;
  }
  trimmed_.fetch_add(trimmed, mo::relaxed);
  put_cold(klass, some.data(), count);
  errno = saved_errno;
}

bool stack_pool::pop(list& l, stack* out) noexcept {
  if (l.head == no_chunk) return false;
  const stack_region& r = regions_.region_of(l.head);
  const std::uint32_t chunk = region_table::chunk_of(l.head);
  *out = r.stack_of(chunk);
  l.head = r.next[chunk];
  --l.count;
  return true;
}

void stack_pool::push(list& l, const stack& s) noexcept {
  std::uint32_t chunk = 0;
  const stack_region* const r = regions_.find(s.limit(), &chunk);
  if (r == nullptr || r->stack_of(chunk).top != s.top) fatal("release of a stack that is not the pool's");
  r->next[chunk] = l.head;
  l.head = regions_.id_of(*r, chunk);
  ++l.count;
}

void stack_pool::show_to_leak_check() noexcept {
  if (!platform::runs_under_valgrind()) return;
  platform::lock_guard guard(grow_lock_);
  const char here = 0;
  stack mine;
  static_cast<void>(find_stack(&here, &mine));
  for (std::uint32_t i = 0; i < regions_.mappings(); ++i) {
    const stack_region& r = regions_.at(i);
    for (std::uint32_t chunk = 0; chunk < r.cut.load(mo::relaxed); ++chunk) {
      const stack s = r.stack_of(chunk);
      if (s.top != mine.top) platform::let_valgrind_search_stack(s.limit(), s.size);
    }
  }
}

stack_pool::counters stack_pool::read() const noexcept {
  return {stacks_.load(mo::relaxed), regions_.bytes_mapped(), regions_.mappings(), guards_.failures(),
          trimmed_.load(mo::relaxed)};
}

bool stack_pool::find(const void* address, bool in_guard, stack* owner) const noexcept {
  std::uint32_t chunk = 0;
  const stack_region* const r = regions_.find(address, &chunk);
  // acquire: see cut().
  if (r == nullptr || chunk >= r->cut.load(mo::acquire)) return false;
  const stack s = r->stack_of(chunk);
  if ((static_cast<const std::byte*>(address) < s.limit()) != in_guard) return false;
  *owner = s;
  return true;
}

bool stack_pool::find_guard(const void* address, stack* owner) const noexcept { return find(address, true, owner); }

bool stack_pool::find_stack(const void* address, stack* owner) const noexcept { return find(address, false, owner); }

void stack_pool::set_guard_kind_for_test(guard_kind kind, std::size_t mprotect_guards_max) noexcept {
  platform::lock_guard guard(grow_lock_);
  guards_.set_for_test(kind, mprotect_guards_max);
}

}  // namespace baton::sched
