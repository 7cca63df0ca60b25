// Making fibers. This is the untyped layer under baton::go and baton::spawn:
//
//   prepared_fiber p = prepare_fiber(attributes, sizeof(C), alignof(C));   // null: no memory
//   new (p.closure) C(...);                   // user code, on the caller's stack; if it throws:
//   discard_fiber(p.f)                        //   nothing was started
//   launch(p.f, start, joinable);             // runs start.entry(f, closure) as a fiber; never switches
//
// The closure lies at the top of the new fiber's own stack: no allocation. entry runs in user state
// on the fiber's stack, destroys the closure, and must not let an exception escape.
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

// Joinable fibers: exactly one of join_fiber (then release_fiber) and detach_fiber is called.
// After exit(), for the thread that exits and a fiber that has not ended: join_fiber aborts;
// join_fiber_to_drop says so, returns false, and the fiber is to be left as it is.
void join_fiber(fiber* f) noexcept;                        // (S) waits until the fiber has ended and left its stack
[[nodiscard]] bool join_fiber_to_drop(fiber* f) noexcept;  // (S) the same, by who does not need its result
// (S) join_fiber for no longer than that (CLOCK_MONOTONIC). False: the time has passed; nothing has changed.
[[nodiscard]] bool await_end_until(fiber* f, std::int64_t deadline_ns) noexcept;
[[nodiscard]] bool fiber_ended(const fiber* f) noexcept;  // an acquire load: true: join_fiber returns at once
void release_fiber(fiber* f) noexcept;                    // after join_fiber: the result slot has been emptied
// Never switches. If the fiber has ended already, its result must be dropped by the caller first:
// returns true in that case, and the caller drops it and calls release_fiber. False: the fiber will
// drop its own result (see result_dropper).
[[nodiscard]] bool detach_fiber(fiber* f) noexcept;

// Where entry leaves the result of a joinable fiber: result_slot_size bytes, aligned as max_align_t.
[[nodiscard]] void* result_slot(fiber* f) noexcept;
// What fiber::locals points to, if it is not null: values of the layer above that end with the fiber.
// `end` is called on the fiber's own stack, in user state; the closure is gone by then, and the result of
// a detached fiber; a join has not returned yet. It may switch, and leaves fiber::locals null.
struct fiber_locals {
  void (*end)(void** where) noexcept = nullptr;
};
// &fiber::locals of the fiber that runs here, also inside a syscall scope; null on a thread that runs none.
[[nodiscard]] void** current_fiber_locals() noexcept;

void set_result_dropper(fiber* f, result_dropper drop) noexcept;

[[nodiscard]] std::uint64_t id_of(const fiber* f) noexcept;

// The fiber that runs here, also inside a syscall scope; null on a thread that runs none.
[[nodiscard]] fiber* current_fiber() noexcept;
[[nodiscard]] std::uint64_t current_fiber_id() noexcept;  // 0: none
void set_current_fiber_name(std::string_view name) noexcept;

// Where the caller runs: the number of the P that its thread has, else one that belongs to the thread. A hint, to
// keep apart what different Ps write; the caller may be on another one by now.
[[nodiscard]] std::uint32_t processor_here() noexcept;

}  // namespace baton::sched
