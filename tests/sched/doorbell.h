// Waiting in tests: for a condition, with an end; and in the kernel, so that the thread really blocks.
#pragma once

#include <baton/sched/platform/clock.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cstdint>
#include <cstdlib>

namespace baton_test {

// Far longer than anything takes on the busiest machine; who waits this long would wait for ever.
inline constexpr std::int64_t for_ever_ns = 20'000'000'000;

// Looks until the condition holds; false if it never does. A plain thread's.
template <class F>
bool eventually(F condition) {
  const std::int64_t give_up = baton::sched::platform::now_ns() + for_ever_ns;
  while (!condition()) {
    if (baton::sched::platform::now_ns() > give_up) return false;
    ::usleep(200);
  }
  return true;
}

// An eventfd. Any number may ring; one waits, and blocks its thread meanwhile.
class doorbell {
 public:
  doorbell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd_ < 0) std::abort();
  }
  ~doorbell() { ::close(fd_); }
  doorbell(const doorbell&) = delete;
  doorbell& operator=(const doorbell&) = delete;

  void ring() {
    const std::uint64_t one = 1;
    if (::write(fd_, &one, sizeof one) != sizeof one) std::abort();
  }
  // Until it is rung, and the condition holds; false: that never happens.
  template <class F>
  [[nodiscard]] bool wait_until(F condition) {
    const std::int64_t give_up = baton::sched::platform::now_ns() + for_ever_ns;
    while (!condition()) {
      const std::int64_t left = give_up - baton::sched::platform::now_ns();
      if (left <= 0) return false;
      pollfd p{fd_, POLLIN, 0};
      ::poll(&p, 1, static_cast<int>(left / 1'000'000) + 1);
      std::uint64_t rings = 0;
      if (::read(fd_, &rings, sizeof rings) < 0) continue;
    }
    return true;
  }

 private:
  int fd_;
};

}  // namespace baton_test
