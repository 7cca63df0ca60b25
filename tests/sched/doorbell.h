// Waiting in tests: for a condition, with a time limit; and in the kernel, so that the thread really blocks.
#pragma once

#include <baton/sched/platform/clock.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cstdint>
#include <cstdlib>

namespace baton_test {

// Far longer than anything takes on the busiest machine. A wait that takes this long would never end.
inline constexpr std::int64_t for_ever_ns = 20'000'000'000;

// Polls until the condition holds. Returns false if it does not hold in time. Only for plain threads.
template <class F>
bool eventually(F condition) {
  const std::int64_t give_up = baton::sched::platform::now_ns() + for_ever_ns;
  while (!condition()) {
    if (baton::sched::platform::now_ns() > give_up) return false;
    ::usleep(200);
  }
  return true;
}

// An eventfd. Any number of threads may ring it. One thread waits, and is blocked meanwhile.
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
  // Waits until the condition holds. Checks it at each ring. Returns false if it does not hold in time.
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
