// Filters of system calls (seccomp): for tests of what the code does where a kernel or a sandbox refuses a call. A
// filter holds for the calling thread, or with SECCOMP_FILTER_FLAG_TSYNC for the process, for what is started there,
// and for ever. So a test installs it in a process or on a thread that ends with the test.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace baton_test {

// Calls of this number. If `argument` is not -1, only those whose argument with that index has these bits under the
// mask; its lower 32 bits count.
struct filtered_call {
  long number = -1;
  int argument = -1;
  std::uint32_t bits = 0;
  std::uint32_t mask = ~std::uint32_t{0};
};

// The action that lets a call fail with this error. With 0 it returns 0 and does nothing.
constexpr std::uint32_t fails_with(int error) { return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error); }

// Returns 0, or with SECCOMP_FILTER_FLAG_NEW_LISTENER the listener's descriptor. Returns -1, and sets errno, if the
// kernel allows no filter. All filters judge each call; the most restrictive action counts.
inline int filter_calls(std::span<const filtered_call> calls, std::uint32_t action, unsigned flags = 0) {
  std::vector<sock_filter> code;
  for (const filtered_call& c : calls) {
    const auto number = static_cast<std::uint32_t>(c.number);
    code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    if (c.argument >= 0) {
      const auto at =
          static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * static_cast<std::size_t>(c.argument));
      code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
      code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at));
      code.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c.mask));
      code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c.bits, 0, 1));
    } else {
      code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    }
    code.push_back(BPF_STMT(BPF_RET | BPF_K, action));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}
inline int filter_calls(std::initializer_list<filtered_call> calls, std::uint32_t action, unsigned flags = 0) {
  return filter_calls(std::span(calls.begin(), calls.size()), action, flags);
}
inline int filter_call(long number, std::uint32_t action, unsigned flags = 0) {
  return filter_calls({{number}}, action, flags);
}

// The two sides of calls whose results a test decides while they wait.
//
// In the child: each of these calls waits for its answer. The listener has this number there.
constexpr int asking_fd = 100;
inline bool ask_about(std::span<const filtered_call> calls) {
  const int fd = filter_calls(calls, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  if (fd < 0 || ::dup2(fd, asking_fd) < 0) return false;
  if (fd != asking_fd) ::close(fd);
  return true;
}

// In the test: the calls about which that process asks.
class asked_calls {
 public:
  explicit asked_calls(pid_t pid) {
    const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    fd_ = static_cast<int>(::syscall(SYS_pidfd_getfd, process, asking_fd, 0));
    ::close(process);
  }
  ~asked_calls() {
    if (fd_ >= 0) ::close(fd_);
  }
  asked_calls(const asked_calls&) = delete;
  asked_calls& operator=(const asked_calls&) = delete;
  [[nodiscard]] bool work() const { return fd_ >= 0; }
  // Readable when a call waits.
  [[nodiscard]] int fd() const { return fd_; }

  // Waits for the next such call, and makes it fail with that error; with 0 the call is made. Returns false if the
  // thread that made the call has gone.
  bool answer(int error) const {
    seccomp_notif asked{};
    while (::ioctl(fd_, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) {
      if (errno != EINTR) return false;
      asked = {};
    }
    seccomp_notif_resp said{};
    said.id = asked.id;
    said.error = -error;
    if (error == 0) said.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    return ::ioctl(fd_, SECCOMP_IOCTL_NOTIF_SEND, &said) == 0;
  }

 private:
  int fd_;
};

}  // namespace baton_test
