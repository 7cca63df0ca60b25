// Fibers that stay on their thread while they wait (thread_lock.cc), as the queues see them. Internal to sched/.
#pragma once

namespace baton::sched {

struct fiber;

// f has been readied, and nobody else has a hold on it.
void ready_in_place(fiber* f) noexcept;

}  // namespace baton::sched
