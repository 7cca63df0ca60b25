// Fibers that stay on their thread while they wait (thread_lock.cc), as the queues see them. Internal to sched/.
#pragma once

namespace baton::sched {

struct fiber;

// Makes f go on: hands it an idle P, or queues it. Requires: f has been readied, and no other thread has a hold on it.
void ready_in_place(fiber* f) noexcept;

}  // namespace baton::sched
