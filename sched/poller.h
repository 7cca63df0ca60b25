// What the scheduler asks of a source of readiness. The interface is the scheduler's; netpoll implements it with epoll.
//
// How it is used:
//   At most one thread at a time is inside poll() with a timeout other than 0. It holds no P, and is the M that would
//   otherwise sleep: so an idle process waits in the kernel for descriptors and the next timer together.
//   poll(0) is called by Ms that hold a P and by the monitor, possibly by several at once, also while another M is
//   inside the blocking poll().
//   wake() makes the blocking poll() that is under way, or the next one, return early. Any thread may call it at any
//   time, often, and also from a signal handler. It never blocks.
//   A poll(0) must not consume a wake().
#pragma once

#include <cstdint>

namespace baton::sched {

class fiber_list;

class poller {
 public:
  virtual ~poller() = default;

  // Waits for readiness at most timeout_ns (0: not at all; negative: without limit). Makes the agents whose wait is
  // over runnable through ready_into(agent, readied). Returns how many events it handled, counting a wake() that it
  // consumed. Never fails: EINTR is an early return.
  virtual int poll(std::int64_t timeout_ns, fiber_list& readied) noexcept = 0;

  virtual void wake() noexcept = 0;
};

// Gives the scheduler its poller, once per process, before the first descriptor waits. The poller is never destroyed.
// Callable while the scheduler runs; idle Ms start to use it at once.
void install_poller(poller* p) noexcept;
[[nodiscard]] poller* installed_poller() noexcept;

}  // namespace baton::sched
