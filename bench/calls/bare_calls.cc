// bare_calls SCENARIO [key=value ...]: the calls alone, on one thread (workloads.h).
#include "workloads.h"

#include <spawn.h>
#include <sys/wait.h>

namespace {

struct bare {
  template <class F>
  static void run(F f) {
    f();
  }
  static void getpid() { (void)calls::trap(SYS_getpid); }
  static void read(int fd, char* into, std::size_t size) {
    if (::read(fd, into, size) != static_cast<ssize_t>(size)) bench::die("read");
  }
  static int connect(unsigned short port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) bench::die("connect");
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
  }
  static void send(int fd, const std::string& message) {
    if (::send(fd, message.data(), message.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(message.size())) {
      bench::die("send");
    }
  }
  static int open(const std::string& path) { return ::open(path.c_str(), O_RDWR | O_CLOEXEC); }
  static void write_at(int fd, const std::string& content, off_t offset) {
    if (::pwrite(fd, content.data(), content.size(), offset) != static_cast<ssize_t>(content.size())) {
      bench::die("pwrite");
    }
  }
  static void start_and_wait(int children) {
    char name[] = "/bin/true";
    char* const argv[] = {name, nullptr};
    for (int i = 0; i < children; ++i) {
      pid_t pid = 0;
      if (::posix_spawn(&pid, name, nullptr, nullptr, argv, ::environ) != 0) bench::die("posix_spawn");
    }
    for (int i = 0; i < children; ++i) {
      int status = -1;
      if (::waitpid(-1, &status, 0) < 0 || status != 0) bench::die("waitpid");
    }
  }
};

}  // namespace

int main(int argc, char** argv) { return calls::main<bare>(argc, argv); }
