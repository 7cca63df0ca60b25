// Making fibers. This is the untyped layer under baton::go and baton::spawn:
//
//   prepared_fiber p = prepare_fiber(attributes, sizeof(C), alignof(C));   // null: no memory
//   new (p.closure) C(...);                   // user code, on the caller's stack; if it throws:
//   discard_fiber(p.f)                        //   nothing was started
//   launch(p.f, start, joinable);             // runs start.entry(f, closure) as a fiber; never switches
//
// The closure lies at the top of the new fiber's own stack: no allocation. entry runs in user state on the fiber's
// stack, destroys the closure, and must not let an exception escape.
#pragma once

#include <baton/sched/fiber_entry.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace baton::sched {

struct fiber_attributes {
  std::string_view name = {};  // copied: whole characters of it, fewer than limits::fiber_name_max bytes
  std::size_t stack_size = 0;  // usable bytes; 0: the runtime's default
};

struct prepared_fiber {
  fiber* f = nullptr;
  void* closure = nullptr;
};

// Starts the runtime (with default options) if it is not running. Never switches.
[[nodiscard]] prepared_fiber prepare_fiber(const fiber_attributes& a, std::size_t closure_size,
                                           std::size_t closure_align) noexcept;
void discard_fiber(fiber* f) noexcept;
void launch(fiber* f, const fiber_start& start, bool joinable) noexcept;
void launch(fiber* f, const fiber_start&& start, bool joinable) noexcept = delete;

// Joinable fibers: exactly one of join_fiber (then release_fiber) and detach_fiber is called. After exit(), on the
// exiting thread and for a fiber that has not ended: join_fiber aborts; join_fiber_to_drop logs a line and returns
// false, and the caller leaves the fiber as it is.
void join_fiber(fiber* f) noexcept;  // switches; waits until the fiber has ended and left its stack
[[nodiscard]] bool join_fiber_to_drop(fiber* f) noexcept;  // switches; the same, for a caller that needs no result
// Switches. As join_fiber, but no longer than the deadline (CLOCK_MONOTONIC). Returns false if the time has passed;
// nothing has changed then.
[[nodiscard]] bool await_end_until(fiber* f, std::int64_t deadline_ns) noexcept;
[[nodiscard]] bool fiber_ended(const fiber* f) noexcept;  // an acquire load; true: join_fiber returns at once
void release_fiber(fiber* f) noexcept;                    // after join_fiber, when the result slot has been emptied
// Never switches. Returns true if the fiber has ended already: the caller then drops the result and calls
// release_fiber. Returns false if the fiber will drop its own result (see result_dropper).
[[nodiscard]] bool detach_fiber(fiber* f) noexcept;

// Returns where entry leaves the result of a joinable fiber: result_slot_size bytes, aligned as max_align_t.
[[nodiscard]] void* result_slot(fiber* f) noexcept;
// What fiber::locals points to, if it is not null: values of the layer above that end with the fiber. `end` is called
// on the fiber's own stack, in user state. The closure is gone by then, and so is the result of a detached fiber. A
// join has not returned yet. `end` may switch, and leaves fiber::locals null.
struct fiber_locals {
  void (*end)(void** where) noexcept = nullptr;
};
// Returns &fiber::locals of the fiber that runs here, also inside a syscall scope. Returns null on a thread that runs
// none.
[[nodiscard]] void** current_fiber_locals() noexcept;

void set_result_dropper(fiber* f, result_dropper drop) noexcept;

[[nodiscard]] std::uint64_t id_of(const fiber* f) noexcept;

// Returns the fiber that runs here, also inside a syscall scope. Returns null on a thread that runs none.
[[nodiscard]] fiber* current_fiber() noexcept;
[[nodiscard]] std::uint64_t current_fiber_id() noexcept;  // 0: none
void set_current_fiber_name(std::string_view name) noexcept;

// Returns the number of the P that the caller's thread has, or else a number that belongs to the thread. It is a hint,
// to keep apart what different Ps write: the caller may be on another P by now.
[[nodiscard]] std::uint32_t processor_here() noexcept;

}  // namespace baton::sched
