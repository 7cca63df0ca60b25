// What a call into the kernel costs, each the same with baton and without. All values are nanoseconds per
// operation, one for each block of `ops` operations.
//
//   getpid ops=N blocks=B     the trap, declared to the scheduler. Blocks of it and of the bare trap take turns:
//     op_ns, bare_ns            the two
//     extra_ns                  their difference, block by block
//   zero ops=N blocks=B       read() of one byte of /dev/zero
//   socket_write ops=N blocks=B size=S
//                             S bytes into a TCP connection over loopback. After 64 of them the other end is read
//                             empty, which is not timed: so no write has to wait
//   file_write ops=N blocks=B file=PATH
//                             4 KiB, to one of 256 places in a file, one place after another
//   start ops=N blocks=B at_once=K
//                             /bin/true is started and waited for; K of them at once. op_us: microseconds of one
//
// `Calls` is a struct of static functions: the two programs differ in nothing else.
#pragma once

#include "../scenario.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <string>
#include <vector>

namespace calls {

inline constexpr std::size_t page = 4096;
inline constexpr int places = 256;
inline constexpr int writes_at_once = 64;

template <class F>
double ns_per_op(int ops, F f) {
  const std::int64_t begin = bench::now_ns();
  for (int i = 0; i < ops; ++i) f();
  return static_cast<double>(bench::now_ns() - begin) / ops;
}

// Without libc's wrapper, as baton's and Go's.
inline long trap(long number) {
  long answer;
#if defined(__x86_64__)
  asm volatile("syscall" : "=a"(answer) : "a"(number) : "rcx", "r11", "memory");
#else
  answer = ::syscall(number);
#endif
  return answer;
}

template <class Calls>
void getpid(const bench::arguments& a, bench::report& out) {
  const int ops = a.number("ops", 2'000);
  Calls::run([&] {
    for (int block = 0; block < a.number("blocks", 50); ++block) {
      const auto bare = [&] { return ns_per_op(ops, [] { (void)trap(SYS_getpid); }); };
      const auto declared = [&] { return ns_per_op(ops, [] { Calls::getpid(); }); };
      const bool bare_first = block % 2 == 0;
      const double first = bare_first ? bare() : declared();
      const double second = bare_first ? declared() : bare();
      out.add("op_ns", bare_first ? second : first);
      out.add("bare_ns", bare_first ? first : second);
      out.add("extra_ns", bare_first ? second - first : first - second);
    }
  });
}

template <class Calls>
void zero(const bench::arguments& a, bench::report& out) {
  const int fd = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  if (fd < 0) bench::die("/dev/zero");
  Calls::run([&] {
    for (int block = 0; block < a.number("blocks", 50); ++block) {
      char byte = 1;
      out.add("op_ns", ns_per_op(a.number("ops", 2'000), [&] { Calls::read(fd, &byte, 1); }));
      if (byte != 0) bench::die("no byte was read");
    }
  });
  ::close(fd);
}

inline void drain(int fd, std::size_t bytes) {
  std::vector<char> buffer(bytes);
  while (bytes > 0) {
    const ssize_t n = ::recv(fd, buffer.data(), bytes, 0);
    if (n <= 0) bench::die("recv");
    bytes -= static_cast<std::size_t>(n);
  }
}

template <class Calls>
void socket_write(const bench::arguments& a, bench::report& out) {
  const std::string message(static_cast<std::size_t>(a.number("size", 64)), 'x');
  const int ops = a.number("ops", 2'048) / writes_at_once;
  Calls::run([&] {
    // The end that is read is a plain socket in either program.
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener, 1) != 0 ||
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      bench::die("listen");
    }
    auto writer = Calls::connect(ntohs(address.sin_port));
    const int reader = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (reader < 0) bench::die("accept");
    for (int block = 0; block < a.number("blocks", 50); ++block) {
      double total = 0;
      for (int i = 0; i < ops; ++i) {
        total += ns_per_op(writes_at_once, [&] { Calls::send(writer, message); });
        drain(reader, message.size() * writes_at_once);
      }
      out.add("op_ns", total / ops);
    }
    ::close(reader);
    ::close(listener);
  });
}

// A file of `places` pages.
inline void fill(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::vector<char> content(page, 'x');
  for (int i = 0; i < places; ++i) {
    if (::pwrite(fd, content.data(), page, static_cast<off_t>(page) * i) != ssize_t{page}) bench::die("pwrite");
  }
  ::close(fd);
}

template <class Calls>
void file_write(const bench::arguments& a, bench::report& out) {
  const std::string path = a.text("file");
  fill(path);
  Calls::run([&] {
    auto file = Calls::open(path);
    const std::string content(page, 'y');
    for (int block = 0; block < a.number("blocks", 50); ++block) {
      int i = 0;
      out.add("op_ns", ns_per_op(a.number("ops", 1'024),
                                 [&] { Calls::write_at(file, content, static_cast<off_t>(page) * (i++ % places)); }));
    }
  });
}

template <class Calls>
void start(const bench::arguments& a, bench::report& out) {
  const int at_once = a.number("at_once", 1);
  const int rounds = std::max(1, a.number("ops", 100) / at_once);
  Calls::run([&] {
    Calls::start_and_wait(1);  // whatever is made once
    for (int block = 0; block < a.number("blocks", 20); ++block) {
      out.add("op_us", ns_per_op(rounds, [&] { Calls::start_and_wait(at_once); }) / at_once / 1'000);
    }
  });
}

template <class Calls>
int main(int argc, char** argv) {
  constexpr bench::scenario scenarios[] = {
      {"getpid", getpid<Calls>},         {"zero", zero<Calls>},   {"socket_write", socket_write<Calls>},
      {"file_write", file_write<Calls>}, {"start", start<Calls>},
  };
  return bench::run_scenario(scenarios, argc, argv);
}

}  // namespace calls
