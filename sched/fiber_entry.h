// What the layer above gives a fiber: the function with which it begins, and how its result is kept and dropped.
#pragma once

#include <cstddef>

namespace baton::sched {

struct fiber;

// Runs on the fiber's stack in user state, and destroys the closure. No exception may escape from it.
using fiber_entry = void (*)(fiber* self, void* closure) noexcept;

// How fibers with one kind of closure begin, and what reports call this kind (closure_name.h). It has static storage.
// It is not of unique linkage, because the C library would never unload a module that has such a symbol.
struct fiber_start {
  fiber_entry entry = nullptr;
  const char* closure = nullptr;  // what text_of_closure<F>() says
  bool calls_pointer = false;     // the closure begins with a pointer to the function that it calls
};

// Called when the fiber ends and was detached meanwhile, on the fiber's own stack and in user state. Null: there is
// nothing to drop.
using result_dropper = void (*)(fiber* f) noexcept;

// The number of bytes of the result slot in the fiber's slab entry, which is aligned as max_align_t. The slot outlives
// the stack.
inline constexpr std::size_t result_slot_size = 48;

}  // namespace baton::sched
