// G: what the scheduler knows of a fiber. Fibers live in a dense, type-stable slab (fiber_slab.h), not on their stacks.
// Entries are reused and never unmapped, so a stale pointer still points to some fiber.
//
// Who may touch what. While the fiber runs: the fiber itself (or, in its name, the runtime section of the M that runs
// it). While it is runnable: the thread that took it off a queue. While it is parked: only the thread that readies it.
// `word` and `join` are atomic and follow their own protocols.
#pragma once

#include <baton/sched/agent.h>
#include <baton/sched/fiber_entry.h>
#include <baton/sched/limits.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/stack/stack.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

// What __cxa_get_globals() points to in each thread, in the Itanium C++ ABI. It belongs to the execution agent, so it
// is saved and restored with the agent: a fiber may switch inside a catch block.
struct exception_state {
  void* caught = nullptr;
  unsigned int uncaught = 0;
};

// The join word of a joinable fiber. Any other value is the agent that waits in join, with its marks.
//   running    no joiner has come yet
//   closing    entry has returned and the result is complete; the fiber is still on its stack
//   ended      the fiber has left its stack; the slab entry waits for release_fiber
//   detached   no agent will join: the fiber's own last after-action frees the entry
enum join_state : std::uintptr_t { join_running = 0, join_closing = 1, join_ended = 2, join_detached = 3, join_states };

// Marks of an agent in the join word. timed: its wait has a deadline, so the agent may be taken back. at_end: without
// the agent the word would say closing, not running.
enum join_mark : std::uintptr_t { join_timed = 1, join_at_end = 2, join_marks = 3 };
static_assert(alignof(agent) > join_marks);

struct machine;
struct lock_head;

struct alignas(64) fiber : agent {
  fiber() noexcept : agent(kind::fiber) {}

  // ---- first line: touched at every switch ----
  std::uint8_t colour = 0;               // of its initial stack pointer
  platform::atomic<bool> in_use{false};  // for threads that walk the slab
  void* context = nullptr;               // where it was left (an fcontext_t); meaningful while it does not run
  fiber* next = nullptr;                 // the link of the queue or free list that holds it
  exception_state exceptions;
  std::uint32_t syscall_depth = 0;      // enter_syscall minus exit_syscall
  bool in_place = false;                // stays on its thread while it waits: see thread_lock.cc
  bool is_daemon = false;               // a daemon fiber: it belongs to the runtime (shutdown.cc)
  platform::atomic<bool> fresh{false};  // has not run yet; a hint for threads that do not hold it
  machine* on = nullptr;                // the M that runs it, or that ran it last; no M if it is fresh
  const fiber_start* start = nullptr;

  // ---- second line: birth and end ----
  void* closure = nullptr;
  platform::atomic<std::uintptr_t> join{join_running};
  std::uint64_t id = 0;
  std::uint64_t spawner = 0;  // the id of the fiber that spawned it; 0: a plain thread
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

  // ---- the same line: while it heads a batch (spilled_batches.h), before it runs; and what it waits for ----
  union {
    fiber* older = nullptr;
    const lock_head* lock;  // while it waits for a mutex
  };
  fiber* newer = nullptr;
  fiber* batch_last = nullptr;
  std::uint32_t batch_size = 0;

  std::uint32_t fp_mode = 0;  // the mode it begins with, where make_fcontext does not keep it (jump.h)
};

static_assert(sizeof(fiber) == 256,
              "four cache lines; with its page of stack each of 1,000,000 fibers costs one page and a quarter KiB");

}  // namespace baton::sched
