// Why a fiber waits: unique for each kind of wait; shown in dumps and traces.
#pragma once

#include <cstdint>

namespace baton::sched {

enum class wait_reason : std::uint8_t {
  none,
  sleep,
  join,
  mutex,
  shared_mutex,
  condition_variable,
  wait_group,
  event,
  semaphore,
  blocking_gate,
  latch,
  barrier,
  task_group,
  task_group_room,
  once,
  channel_send,
  channel_receive,
  select,
  context,
  descriptor_read,
  descriptor_write,
  descriptor_lock,
  accept,
  connect,
  lookup,
  signal,
  process,
  retry,
  work_item,
  thread_to_lock,
  other,
};

const char* name_of(wait_reason reason) noexcept;

// Returns true if the event that ends the wait may come from outside the process, so that nothing inside it need be
// awake.
[[nodiscard]] bool waits_for_outside(wait_reason reason) noexcept;

}  // namespace baton::sched
