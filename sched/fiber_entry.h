// What the layer above gives a fiber: the function that it begins with, and how its result is kept and dropped.
#pragma once

#include <cstddef>

namespace baton::sched {

struct fiber;

// Runs on the fiber's stack in user state, and destroys the closure. No exception may escape from it.
using fiber_entry = void (*)(fiber* self, void* closure) noexcept;

// How fibers with one kind of closure begin, and what reports call it (closure_name.h). Has static storage. Not of
// unique linkage: the C library would never unload a module that has one.
struct fiber_start {
  fiber_entry entry = nullptr;
  const char* closure = nullptr;  // what text_of_closure<F>() says
  bool calls_pointer = false;     // the closure begins with a pointer to the function that it calls
};

// Called (on the fiber's own stack, in user state) when the fiber ends and was detached meanwhile. Null: nothing to
// drop.
using result_dropper = void (*)(fiber* f) noexcept;

// Bytes of the result slot in the fiber's slab entry, which is aligned as max_align_t. It outlives the stack.
inline constexpr std::size_t result_slot_size = 48;

}  // namespace baton::sched
