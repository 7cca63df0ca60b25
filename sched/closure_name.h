// How reports name a callable that the user gave: by its type. For a lambda, the type is named by the function in which
// it was written (g++), or by its place in the source (clang).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace baton::sched {

struct fiber;
struct fiber_start;

// Returns a text that contains the type's name, at no cost at run time.
template <class F>
constexpr const char* text_of_closure() noexcept {
  return __PRETTY_FUNCTION__;
}

// Returns the name alone.
[[nodiscard]] std::string_view closure_in(std::string_view text) noexcept;

// The names of what fibers run. A module may be unloaded as soon as its last fiber has ended, so everything is read
// with peek_memory() (platform/peek_memory.h) and copied. A name costs about 2 us, or about 1 us if it is the same one
// again. Nothing allocates or locks; async-signal-safe.
class closure_names {
 public:
  // Returns the name of what f runs. For a pointer to a function that has a symbol, this is the symbol. Empty: not
  // known. The fiber may run, or end, meanwhile.
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
