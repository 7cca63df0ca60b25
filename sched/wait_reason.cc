// The words that dumps and traces show.
#include <baton/sched/wait_reason.h>

namespace baton::sched {

const char* name_of(wait_reason reason) noexcept {
  switch (reason) {
    case wait_reason::none: return "nothing";
    case wait_reason::sleep: return "sleep";
    case wait_reason::join: return "join";
    case wait_reason::mutex: return "mutex";
    case wait_reason::shared_mutex: return "shared mutex";
    case wait_reason::condition_variable: return "condition variable";
    case wait_reason::wait_group: return "wait group";
    case wait_reason::event: return "event";
    case wait_reason::semaphore: return "semaphore";
    case wait_reason::blocking_gate: return "room in a blocking gate";
    case wait_reason::latch: return "latch";
    case wait_reason::barrier: return "barrier";
    case wait_reason::task_group: return "task group";
    case wait_reason::task_group_room: return "task group room";
    case wait_reason::once: return "once";
    case wait_reason::channel_send: return "channel send";
    case wait_reason::channel_receive: return "channel receive";
    case wait_reason::select: return "select";
    case wait_reason::context: return "context";
    case wait_reason::descriptor_read: return "read";
    case wait_reason::descriptor_write: return "write";
    case wait_reason::descriptor_lock: return "another user of the descriptor";
    case wait_reason::accept: return "accept";
    case wait_reason::connect: return "connect";
    case wait_reason::lookup: return "look-up of a name";
    case wait_reason::signal: return "signal";
    case wait_reason::process: return "process";
    case wait_reason::retry: return "time to try again";
    case wait_reason::work_item: return "something to do";
    case wait_reason::thread_to_lock: return "a thread to be locked to";
    case wait_reason::other: return "something";
  }
  return "?";
}

bool waits_for_outside(wait_reason reason) noexcept {
  switch (reason) {
    case wait_reason::descriptor_read:
    case wait_reason::descriptor_write:
    case wait_reason::accept:
    case wait_reason::connect:
    case wait_reason::lookup:
    case wait_reason::signal:
    case wait_reason::process:
    case wait_reason::retry: return true;
    case wait_reason::none:
    case wait_reason::sleep:  // a timer ends it
    case wait_reason::join:
    case wait_reason::mutex:
    case wait_reason::shared_mutex:
    case wait_reason::condition_variable:
    case wait_reason::wait_group:
    case wait_reason::event:
    case wait_reason::semaphore:
    case wait_reason::blocking_gate:  // a fiber inside the gate ends the wait
    case wait_reason::latch:
    case wait_reason::barrier:
    case wait_reason::task_group:
    case wait_reason::task_group_room:
    case wait_reason::once:
    case wait_reason::channel_send:
    case wait_reason::channel_receive:
    case wait_reason::select:
    case wait_reason::context:
    case wait_reason::descriptor_lock:
    case wait_reason::work_item:
    case wait_reason::thread_to_lock:
    case wait_reason::other: return false;
  }
  return true;
}

}  // namespace baton::sched
