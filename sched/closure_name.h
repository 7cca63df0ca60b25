// What reports call a callable that the user gave: its type, which for a lambda is the function that it was written
// in (g++), or its place in the source (clang).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace baton::sched {

struct fiber;
struct fiber_start;

// A text that has the type's name in it, at no cost at run time.
template <class F>
constexpr const char* text_of_closure() noexcept {
  return __PRETTY_FUNCTION__;
}

// The name alone.
[[nodiscard]] std::string_view closure_in(std::string_view text) noexcept;

// The names of what fibers run. A module may be unloaded as soon as its last fiber has ended, so all is peeked at
// (platform/peek_memory.h) and copied; some 2 us each, or one if it is the same again. Nothing allocates or locks;
// async-signal-safe.
class closure_names {
 public:
  // Of a pointer to a function that has a symbol, that. Empty: not known. The fiber may run, or end, meanwhile.
  [[nodiscard]] const char* of(const fiber& f) noexcept;
  [[nodiscard]] const char* of(const fiber_start* start, const void* closure) noexcept;

 private:
  void find(const fiber_start& start, std::uintptr_t pointer) noexcept;

  const fiber_start* start_ = nullptr;
  std::uintptr_t pointer_ = 0;
  bool pointer_may_differ_ = false;
  char name_[200] = {};
};

}  // namespace baton::sched
