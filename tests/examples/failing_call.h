// Makes a system call of a program fail, from outside the program. fail_always() and ask_about() are called in the
// child before the program begins: they are a `prepare` of child_process.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>
#include <cstddef>
#include <iterator>

namespace baton_test {

// Returns the number of the listener's descriptor, or -1 if the kernel refuses.
inline int filter_call(long number, unsigned action, unsigned flags) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

// Makes the call fail with that error, always.
inline void fail_always(long number, int error) {
  if (filter_call(number, SECCOMP_RET_ERRNO | static_cast<unsigned>(error), 0) != 0) ::_exit(126);
}

// Makes the call wait until the test has decided its result.
constexpr int asking_fd = 100;
inline void ask_about(long number) {
  const int fd = filter_call(number, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  if (fd < 0 || ::dup2(fd, asking_fd) < 0) ::_exit(126);
}

// Used in the test: the calls about which that program asks.
class asked_calls {
 public:
  explicit asked_calls(pid_t pid) {
    const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    fd_ = static_cast<int>(::syscall(SYS_pidfd_getfd, process, asking_fd, 0));
    ::close(process);
  }
  ~asked_calls() { ::close(fd_); }
  asked_calls(const asked_calls&) = delete;
  asked_calls& operator=(const asked_calls&) = delete;
  [[nodiscard]] bool work() const { return fd_ >= 0; }

  // Waits for the next such call, and makes it fail with that error; with 0 the call is made.
  bool answer(int error) const {
    seccomp_notif asked{};
    while (::ioctl(fd_, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) {
      if (errno != EINTR) return false;
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
