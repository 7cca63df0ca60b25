// A fiber that keeps its thread without a word to the scheduler, on one P beside fibers that yield: for
// how long do these stand still?
//
//   undeclared kind=K fibers=N ms=M calls=C holder=PROGRAM
//     nanosleep, poll   for M ms
//     flock             of a file that another process keeps locked for M ms
//     getaddrinfo       of a name that a name server in this process (a plain thread on the loopback
//                       interface) answers after M ms
//     compute           looks at the clock and adds numbers for M ms
//   prints
//     stall_ms          the longest stretch within the call in which none of the others ran
//     took_ms           the call
//     share             compute: turns of the others per second during the call, relative to just before
//     rescues           that the runtime counted
#include "scenarios.h"
#include "yielders.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>
#include <memory>
#include <thread>

namespace handoff {

namespace {

int open_lock(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) die("cannot open the lock file");
  return fd;
}

// The process that holds the lock: this program as `hold_lock`.
class lock_holder {
 public:
  explicit lock_holder(const std::string& path) : fd_(open_lock(path)) {
    int to[2], from[2];
    if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0) die("no pipe");
    const std::string argument = "path=" + path;
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(to[0], 0);
      ::dup2(from[1], 1);
      ::execl("/proc/self/exe", "baton_handoff", "hold_lock", argument.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    ask_ = to[1];
    answer_ = from[0];
  }
  lock_holder(const lock_holder&) = delete;
  lock_holder& operator=(const lock_holder&) = delete;
  ~lock_holder() {
    ::close(ask_);
    ::close(answer_);
    ::close(fd_);
  }

  // From now on, for so long; returns when it is held.
  void hold(int milliseconds) const {
    const std::string line = std::to_string(milliseconds) + "\n";
    char answered = 0;
    if (::write(ask_, line.data(), line.size()) < 0 || ::read(answer_, &answered, 1) != 1)
      die("the lock holder is gone");
  }
  void lock_and_unlock() const {
    while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
    ::flock(fd_, LOCK_UN);
  }

 private:
  int fd_;
  pid_t child_ = -1;
  int ask_ = -1, answer_ = -1;
};

// Answers every question after a while by "no such name".
class slow_name_server {
 public:
  explicit slow_name_server(std::int64_t delay_ns) {
    socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    if (socket_ < 0 || ::bind(socket_, reinterpret_cast<const sockaddr*>(&address_), size) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address_), &size) != 0) {
      die("no name server");
    }
    std::thread([socket = socket_, delay_ns] { answer(socket, delay_ns); }).detach();
  }

  // The resolver's state belongs to the thread; the fiber stays on this one until it has asked.
  void ask() const {
    if ((_res.options & RES_INIT) == 0) res_init();
    _res.nscount = 1;
    _res.nsaddr_list[0] = address_;
    addrinfo hints{};
    hints.ai_family = AF_INET;
    addrinfo* found = nullptr;
    // The last dot: no search list.
    if (::getaddrinfo("slow.handoff.test.", nullptr, &hints, &found) == 0) ::freeaddrinfo(found);
  }

 private:
  static void answer(int socket, std::int64_t delay_ns) {
    unsigned char packet[512];
    for (;;) {
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const ssize_t n = ::recvfrom(socket, packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (n < 12) continue;
      block_ns(delay_ns);
      packet[2] |= 0x80;  // an answer
      packet[3] = 0x83;   // recursion available; no such name
      ::sendto(socket, packet, static_cast<std::size_t>(n), 0, reinterpret_cast<const sockaddr*>(&from), size);
    }
  }

  int socket_ = -1;
  sockaddr_in address_{};
};

class occupation {
 public:
  explicit occupation(const arguments& a) : kind_(a.text("kind", "nanosleep")), milliseconds_(a.number("ms", 100)) {
    if (kind_ == "flock") {
      holder_ = std::make_unique<lock_holder>(a.text("lock", "handoff.lock"));
    } else if (kind_ == "getaddrinfo") {
      server_ = std::make_unique<slow_name_server>(milliseconds_ * ms);
    } else if (kind_ != "nanosleep" && kind_ != "poll" && kind_ != "compute") {
      die("no such kind");
    }
  }

  void prepare() const {
    if (holder_) holder_->hold(milliseconds_);
  }
  void operator()() const {
    if (holder_) {
      holder_->lock_and_unlock();
    } else if (server_) {
      server_->ask();
    } else if (kind_ == "poll") {
      ::poll(nullptr, 0, milliseconds_);
    } else if (kind_ == "compute") {
      compute_until(now_ns() + milliseconds_ * ms);
    } else {
      block_ns(milliseconds_ * ms);
    }
  }

 private:
  std::string kind_;
  int milliseconds_;
  std::unique_ptr<lock_holder> holder_;
  std::unique_ptr<slow_name_server> server_;
};

}  // namespace

void compute_until(std::int64_t end) noexcept {
  volatile std::uint64_t sum = 0;
  while (now_ns() < end) {
    for (std::uint64_t i = 0; i < 1'000; ++i) sum = sum + i;
  }
}

void undeclared(const arguments& a, report& out) {
  const occupation occupy(a);
  const int calls = a.number("calls", 10);
  const int warm_up = 1;
  baton::run(
      [&] {
        gaps others_gaps;
        yielders others(a.number("fibers", 100), others_gaps);
        pause let_them_run;
        for (int i = 0; i < warm_up + calls; ++i) {
          const std::int64_t alone_begin = now_ns();
          const std::uint64_t alone_turns = others_gaps.turns();
          for (int n = 0; n < 5; ++n) let_them_run();
          const double alone_rate =
              static_cast<double>(others_gaps.turns() - alone_turns) / static_cast<double>(now_ns() - alone_begin);
          occupy.prepare();
          const std::uint64_t rescues = baton::stats().rescues;
          const std::uint64_t turns = others_gaps.turns();
          const std::int64_t begin = others_gaps.arm();
          occupy();
          const std::int64_t end = now_ns();
          const double rate = static_cast<double>(others_gaps.turns() - turns) / static_cast<double>(end - begin);
          const std::int64_t stall = others_gaps.longest_ns();
          if (i < warm_up) continue;
          out.add("stall_ms", in_ms(stall));
          out.add("took_ms", in_ms(end - begin));
          out.add("share", 100 * rate / alone_rate);
          out.add("rescues", static_cast<double>(baton::stats().rescues - rescues));
        }
      },
      {.procs = 1});
}

void hold_lock(const arguments& a, report&) {
  const int fd = open_lock(a.text("path"));
  char line[32];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    ::flock(fd, LOCK_EX);
    if (::write(1, "\n", 1) != 1) break;
    block_ns(std::atoi(line) * ms);
    ::flock(fd, LOCK_UN);
  }
  ::_exit(0);
}

}  // namespace handoff
