// Sends SIGALRM to the calling thread every millisecond, without SA_RESTART: EINTR interrupts every call that blocks
// there. Only one at a time.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <ctime>
#include <stdexcept>

class signal_storm {
 public:
  signal_storm() {
    handled() = 0;
    struct sigaction act {};
    act.sa_handler = [](int) { handled().fetch_add(1, std::memory_order_relaxed); };
    act.sa_flags = SA_ONSTACK;  // and not SA_RESTART
    if (::sigaction(SIGALRM, &act, &former_) != 0) throw std::runtime_error("sigaction");
    ::sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) throw std::runtime_error("timer_create");
    const ::itimerspec every{{0, 1'000'000}, {0, 1'000'000}};
    ::timer_settime(timer_, 0, &every, nullptr);
  }
  ~signal_storm() {
    ::timer_delete(timer_);
    // A signal that is still under way then finds "ignore", not the default, which would end the process.
    ::signal(SIGALRM, SIG_IGN);
    ::sigaction(SIGALRM, &former_, nullptr);
  }
  signal_storm(const signal_storm&) = delete;
  signal_storm& operator=(const signal_storm&) = delete;

  // Returns how often the handler has run since the storm began.
  static std::atomic<int>& handled() {
    static std::atomic<int> count{0};
    return count;
  }

 private:
  ::timer_t timer_{};
  struct sigaction former_ {};
};
