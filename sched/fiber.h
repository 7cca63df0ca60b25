// G: what the scheduler knows of a fiber. Fibers live in a dense, type-stable slab (fiber_slab.h), not
// on their stacks: entries are reused, never unmapped, so a stale pointer still points to some fiber.
//
// Who may touch what: the fiber itself (or, in its name, the runtime section of the M that runs it)
// while it runs; whoever took it off a queue while it is runnable; nobody while it is parked, except
// the one who readies it. `word` and `join` are atomic and follow their own protocols.
#pragma once

#include <baton/sched/agent.h>
#include <baton/sched/fiber_entry.h>
#include <baton/sched/limits.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/stack/stack.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

// What __cxa_get_globals() points to, per thread, in the Itanium C++ ABI. It belongs to the agent of
// execution, so it is saved and restored with it: a fiber may switch inside a catch block.
struct exception_state {
  void* caught = nullptr;
  unsigned int uncaught = 0;
};

// The join word of a joinable fiber; any other value is the agent that waits in join, and the marks.
//   running    nobody has come yet
//   closing    entry has returned and the result is complete; the fiber is still on its stack
//   ended      it has left its stack; the slab entry waits for release_fiber
//   detached   nobody will join: the entry is freed by the fiber's own last after-action
enum join_state : std::uintptr_t { join_running = 0, join_closing = 1, join_ended = 2, join_detached = 3, join_states };

// Marks of an agent in the join word: its wait has a deadline, so the agent may be taken back; and without it the
// word would say closing, not running.
enum join_mark : std::uintptr_t { join_timed = 1, join_at_end = 2, join_marks = 3 };
static_assert(alignof(agent) > join_marks);

struct machine;
struct lock_head;

struct alignas(64) fiber : agent {
  fiber() noexcept : agent(kind::fiber) {}

  // ---- first line: touched at every switch ----
  std::uint8_t colour = 0;               // of its initial stack pointer
  platform::atomic<bool> in_use{false};  // for those who walk the slab
  void* context = nullptr;               // where it was left (an fcontext_t); meaningful while it does not run
  fiber* next = nullptr;                 // link of whatever queue or free list holds it
  exception_state exceptions;
  std::uint32_t syscall_depth = 0;      // enter_syscall minus exit_syscall
  bool in_place = false;                // stays on its thread while it waits: see thread_lock.cc
  bool is_daemon = false;               // is the runtime's own: see shutdown.cc
  platform::atomic<bool> fresh{false};  // has not run yet; a hint for who does not have it
  machine* on = nullptr;                // the M that runs it; meaningful while it runs
  const fiber_start* start = nullptr;

  // ---- second line: birth and end ----
  void* closure = nullptr;
  platform::atomic<std::uintptr_t> join{join_running};
  std::uint64_t id = 0;
  std::uint64_t spawner = 0;  // id of the fiber that spawned it; 0: a plain thread
  void* locals = nullptr;     // for the runtime layer: fiber-local values
  char name[limits::fiber_name_max] = {};

  // ---- third line ----
  alignas(16) std::byte result[result_slot_size];
  result_dropper drop_result = nullptr;
  std::uint32_t index = 0;         // in the slab
  std::uint32_t thread_locks = 0;  // lock_os_thread minus unlock_os_thread

  // ---- fourth line: the stack, and the sanitizers' ideas of this fiber ----
  alignas(64) struct stack stack;
  void* asan_fake_stack = nullptr;
  void* tsan_fiber = nullptr;

  // ---- the same line: while it heads a batch (spilled_batches.h), which is before it runs; and what it waits for ----
  union {
    fiber* older = nullptr;
    const lock_head* lock;  // while it waits for a mutex
  };
  fiber* newer = nullptr;
  fiber* batch_last = nullptr;
  std::uint32_t batch_size = 0;

  std::uint32_t fp_mode = 0;  // that it begins with, where make_fcontext does not keep it (jump.h)
};

static_assert(sizeof(fiber) == 256, "1,000,000 of them should cost one page and a quarter KiB each");

}  // namespace baton::sched
