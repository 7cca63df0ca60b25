// System calls that fail as the test says. A filter of the kernel's (seccomp), for the calling thread and for ever,
// sends the calls that netpoll traps into to a handler. The handler returns an errno or makes the call.
#pragma once

#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <thread>
#include <vector>

namespace baton::net::test {

class failing_calls {
 public:
  // For the calling plain thread, which ends with the test. Returns false if the kernel does not allow it.
  [[nodiscard]] static bool filter_this_thread(std::initializer_list<long> numbers) {
    struct sigaction on_trap {};
    on_trap.sa_sigaction = handle;
    on_trap.sa_flags = SA_SIGINFO | SA_NODEFER;
    if (::sigaction(SIGSYS, &on_trap, nullptr) != 0) return false;
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGSYS);
    ::pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);

    // The handler's own calls come from libc's syscall(), so they pass.
    const auto libc = reinterpret_cast<std::uintptr_t>(&::syscall);
    const auto low = static_cast<std::uint32_t>(libc);
    const auto high = static_cast<std::uint32_t>(libc >> 32);
    constexpr std::uint32_t ip = offsetof(seccomp_data, instruction_pointer);
    std::vector<sock_filter> code = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, low, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, low + 64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    };
    for (const long nr : numbers) {
      code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(nr), 0, 1));
      code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
    }
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  }

  // The next `times` calls of that number fail.
  static void fail(long nr, int error, int times = 1) {
    error_.store(error);
    left_.store(times);
    number_.store(nr);
  }
  // Returns how many of these failures are still to come.
  [[nodiscard]] static int left() { return left_.load(); }

 private:
  static void handle(int, siginfo_t* info, void* context) {
    const int saved = errno;
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
    const long nr = info->si_syscall;
    long answer = 0;
    if (number_.load() == nr && left_.load() > 0) {
      left_.fetch_sub(1);
      answer = -error_.load();
    } else {
#if defined(__x86_64__)
      auto& r = registers.gregs;
      answer = ::syscall(nr, r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]);
#else
      auto& r = registers.regs;
      answer = ::syscall(nr, r[0], r[1], r[2], r[3], r[4], r[5]);
#endif
      if (answer < 0) answer = -errno;
    }
#if defined(__x86_64__)
    registers.gregs[REG_RAX] = answer;
#else
    registers.regs[0] = static_cast<unsigned long long>(answer);
#endif
    errno = saved;
  }

  inline static std::atomic<long> number_{-1};
  inline static std::atomic<int> error_{0};
  inline static std::atomic<int> left_{0};
};

// Runs f on a plain thread in which calls of these numbers can be made to fail.
inline void with_failing_calls(std::initializer_list<long> numbers, const std::function<void()>& f) {
  bool filtered = true;
  std::thread thread([&] {
    filtered = failing_calls::filter_this_thread(numbers);
    if (filtered) f();
  });
  blocking([&] { thread.join(); });
  if (!filtered) GTEST_SKIP() << "no filters of system calls here";
}

}  // namespace baton::net::test
