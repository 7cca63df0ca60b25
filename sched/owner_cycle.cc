// A fiber waits for one thing, so each fiber that waits has one successor at most: the owner of its mutex, or the fiber
// that it joins. A walk from any fiber along the successors ends, or it comes back to a fiber of the same walk: that is
// a cycle. A fiber on which an earlier walk has been ends the walk, so that all walks together visit each fiber once.
//
// Only fibers with a successor can be in a cycle. They are collected into an array, sorted by id. A joined fiber names
// its joiner (its join word), so that edge is found on the way past the joined fiber.
#include <baton/sched/owner_cycle.h>

#include <baton/sched/fiber.h>
#include <baton/sched/fiber_slab.h>
#include <baton/sched/lock_head.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/wait_reason.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>
#include <optional>

namespace baton::sched {

namespace {

namespace mo = platform::mo;

constexpr int cycles_max = 8;   // that are named
constexpr int members_max = 6;  // that are named of one cycle: they fit a line of the log

struct waits {
  std::uint64_t id = 0;
  std::uint64_t next = 0;   // the id of the fiber that it waits for
  std::uint32_t entry = 0;  // its index in the slab
  std::uint32_t walk = 0;   // the walk that has visited it; 0: none
  bool joins = false;       // rather than waits for a mutex
};

// Returns the fiber that waits in join() for f, or null.
__attribute__((no_sanitize("thread"))) const fiber* joiner_of(const fiber& f) noexcept {
  const std::uintptr_t join = f.join.load(mo::acquire) & ~std::uintptr_t{join_marks};  // as in deadlock.cc
  if (join < join_states) return nullptr;
  const auto* const who = reinterpret_cast<const agent*>(join);
  if (who->what != agent::kind::fiber || who->reason != wait_reason::join) return nullptr;
  return static_cast<const fiber*>(who);
}

// Calls found() for each fiber that waits for another. The fields of a fiber are read here only: no fiber runs, but
// ThreadSanitizer does not know that.
template <class Found>
__attribute__((no_sanitize("thread"))) void for_each_edge(const Found& found) noexcept {
  const std::uint32_t n = fiber_entries();
  for (std::uint32_t i = 0; i < n; ++i) {
    const fiber& f = *fiber_entry_at(i);
    if (!f.in_use.load(mo::relaxed)) continue;
    if (const fiber* const joiner = joiner_of(f)) found(waits{joiner->id, f.id, joiner->index, 0, true});
    if (f.word.peek() != park_word::parked) continue;
    if (const std::optional<std::uint64_t> owner = owner_of_lock_of(f); owner && *owner != 0) {
      found(waits{f.id, *owner, f.index, 0, false});
    }
  }
}

class graph {
 public:
  // Returns false if there is no memory.
  [[nodiscard]] bool build() noexcept {
    std::size_t edges = 0;
    for_each_edge([&](const waits&) { ++edges; });
    all_.reset(new (std::nothrow) waits[edges]);
    if (all_ == nullptr) return false;
    for_each_edge([&](const waits& w) {
      if (count_ < edges) all_[count_++] = w;
    });
    std::sort(all_.get(), all_.get() + count_, [](const waits& a, const waits& b) { return a.id < b.id; });
    return true;
  }

  // Calls found(a member) for each cycle.
  template <class Found>
  void for_each_cycle(const Found& found) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      const auto walk = static_cast<std::uint32_t>(i + 1);
      waits* w = &all_[i];
      for (; w != nullptr && w->walk == 0; w = next_of(*w)) w->walk = walk;
      if (w != nullptr && w->walk == walk) found(*w);
    }
  }

  // Returns null if that fiber waits for none.
  [[nodiscard]] waits* next_of(const waits& w) const noexcept {
    waits* const end = all_.get() + count_;
    waits* const at =
        std::lower_bound(all_.get(), end, w.next, [](const waits& a, std::uint64_t id) { return a.id < id; });
    return at != end && at->id == w.next ? at : nullptr;
  }

 private:
  std::unique_ptr<waits[]> all_;
  std::size_t count_ = 0;
};

class sentence {
 public:
  __attribute__((format(printf, 2, 3))) void add(const char* format, ...) noexcept {
    __builtin_va_list args;
    __builtin_va_start(args, format);
    const int n = std::vsnprintf(text_ + used_, sizeof text_ - used_, format, args);
    __builtin_va_end(args);
    if (n > 0) used_ = std::min(used_ + static_cast<std::size_t>(n), sizeof text_ - 1);
  }
  [[nodiscard]] const char* text() const noexcept { return text_; }

 private:
  char text_[(members_max + 1) * (fiber_label_max + 64)] = "";
  std::size_t used_ = 0;
};

// The name is copied here: see for_each_edge().
__attribute__((no_sanitize("thread"))) const char* label_of(const waits& w, char (&label)[fiber_label_max]) noexcept {
  const fiber& f = *fiber_entry_at(w.entry);
  char name[limits::fiber_name_max];
  for (std::size_t i = 0; i < sizeof name; ++i) name[i] = static_cast<const volatile char&>(f.name[i]);
  label_fiber(w.id, name, label);
  return label;
}

void log_cycle(const graph& g, const waits& first) noexcept {
  sentence s;
  char label[fiber_label_max];
  int members = 0;
  const waits* w = &first;
  do {
    const waits* const next = g.next_of(*w);
    if (members++ < members_max) {
      s.add("%s %s", members == 1 ? label_of(*w, label) : ", which", w->joins ? "joins " : "waits for a mutex that ");
      if (next == w) {
        s.add("it holds itself");
      } else {
        s.add("%s%s", label_of(*next, label), w->joins ? "" : " holds");
      }
    }
    w = next;
  } while (w != &first);
  if (members > members_max) s.add(", and so on: %d fibers, until one that waits for the first", members);
  last_warning("a cycle: %s", s.text());
}

}  // namespace

void log_owner_cycles() noexcept {
  graph g;
  if (!g.build()) return;
  int cycles = 0;
  g.for_each_cycle([&](const waits& first) {
    if (++cycles <= cycles_max) log_cycle(g, first);
  });
  if (cycles > cycles_max) last_warning("and %d more cycles", cycles - cycles_max);
}

}  // namespace baton::sched
