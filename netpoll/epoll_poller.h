// The source of readiness: one epoll instance for the process, behind the scheduler's poller interface.
#pragma once

#include <baton/netpoll/poll_descriptor.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/poller.h>

#include <cstdint>

namespace baton::net {

class epoll_poller final : public sched::poller {
 public:
  // Returns the poller of this process. The first call makes it and installs it in the scheduler. Returns null if the
  // kernel gives no descriptors for it; *error is the errno then, and the next call tries again. Never switches.
  [[nodiscard]] static epoll_poller* get(int* error) noexcept;

  // Registers fd for the whole of its life, edge-triggered. Returns 0 or an errno: EPERM for what epoll does not take
  // (regular files). An end or an error of fd is an edge of both sides in any case.
  enum class sides : std::uint8_t { read, both };
  [[nodiscard]] int attach(int fd, const poll_descriptor& pd, sides which) noexcept;
  // Changes the sides of which edges come. An edge comes at once if fd is ready. Returns 0 or an errno.
  [[nodiscard]] int change(int fd, const poll_descriptor& pd, sides which) noexcept;
  // Always called before close(fd): a duplicate of the descriptor would keep the registration alive.
  void detach(int fd) noexcept;

  int poll(std::int64_t timeout_ns, sched::fiber_list& readied) noexcept override;
  void wake() noexcept override;

  // For tests: use epoll_wait as on a kernel without epoll_pwait2.
  void use_epoll_wait_for_test(bool on) noexcept { coarse_.store(on, mo::relaxed); }

 private:
  epoll_poller(int epoll_fd, int event_fd) noexcept : epoll_fd_(epoll_fd), event_fd_(event_fd) {}

  static void in_forked_child() noexcept;
  int control(int operation, int fd, const poll_descriptor& pd, sides which) noexcept;

  // Changed only in a forked child, to -1.
  sched::platform::atomic<int> epoll_fd_;
  sched::platform::atomic<int> event_fd_;
  sched::platform::atomic<bool> coarse_{false};  // no epoll_pwait2
  alignas(64) sched::platform::atomic<std::uint32_t> wake_pending_{0};
};

}  // namespace baton::net
