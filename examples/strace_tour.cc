// A tour of what baton's calls are to the kernel. Run it under strace, and read the trace beside its output:
//
//   strace -f -o trace strace_tour && less trace
//
// Each stop of the tour prints a line, so the trace has a write(1, "stop …") at the place. docs/syscalls.md shows the
// trace and explains it. -f follows the threads: the number in front of each line is the thread that made the call.
// Without strace the program prints its lines and ends with 0. A failed call ends it with a sentence and 1.
#include <baton/baton.h>

#include "command_line.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <chrono>
#include <string>

namespace {

namespace sys = baton::sys;
using namespace std::chrono_literals;

absl::Status stop(const std::string& text) {
  return sys::write(STDOUT_FILENO, "stop " + text + "\n").status("write to stdout");
}

// 1: one trap, and nothing else. The scheduler is not told, so this is only for calls that never block.
absl::Status raw() {
  if (auto s = stop("1: raw_syscall is the bare trap"); !s.ok()) return s;
  return sys::raw_syscall(SYS_getppid).status("getppid");
}

// 2: declared to the scheduler, and still one trap: a call that turns out to be short costs a few nanoseconds more.
absl::Status typed() {
  if (auto s = stop("2: a typed call is one trap, too"); !s.ok()) return s;
  const auto zero = sys::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  if (!zero) return zero.status("open /dev/zero");
  const sys::owned_fd fd(*zero);
  std::array<std::byte, 8> room;
  return sys::read(fd.get(), room).status("read /dev/zero");
}

// 3: a name that is no C string never reaches the kernel.
absl::Status refused() {
  if (auto s = stop("3: a path with a NUL inside makes no call"); !s.ok()) return s;
  const auto cut = sys::open(std::string("/etc/passwd\0.txt", 16), O_RDONLY | O_CLOEXEC);
  if (cut.error() == EINVAL) return absl::OkStatus();
  return absl::InternalError("open took a path with a NUL inside");
}

// 4: this thread waits in read. Before that it wakes another thread (futex), which runs the fiber that writes.
absl::Status blocks() {
  if (auto s = stop("4: a call that blocks hands its processor over"); !s.ok()) return s;
  const auto ends = sys::pipe2(O_CLOEXEC);
  if (!ends) return ends.status("pipe");
  const sys::owned_fd in((*ends)[0]), out((*ends)[1]);
  auto writer = baton::spawn([&] {
    const absl::Status said = sys::write(STDOUT_FILENO, "  the other fiber runs meanwhile\n").status("write to stdout");
    const absl::Status woke = sys::write(out.get(), "x").status("write to the pipe");
    return said.ok() ? woke : said;
  });
  std::byte room[1];
  const auto n = baton::blocking([&] { return sys::raw_syscall(SYS_read, in.get(), &room[0], 1); }, baton::will_block);
  const absl::Status wrote = writer.join();
  return n ? wrote : n.status("read the pipe");
}

// 5: a fiber that sleeps makes no call of its own. A thread that finds no work sleeps until the fiber's time has come.
absl::Status sleeps() {
  if (auto s = stop("5: a fiber that sleeps costs no thread"); !s.ok()) return s;
  baton::this_fiber::sleep_for(20ms);
  return absl::OkStatus();
}

// 6: a read that would wait says EAGAIN. The fiber parks, and the poller says when there is something to read.
absl::Status parks() {
  if (auto s = stop("6: a stream that has nothing yet parks its fiber"); !s.ok()) return s;
  auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
  if (!listener.ok()) return listener.status();
  auto reader = baton::spawn([&]() -> absl::Status {
    auto stream = listener->accept();
    if (!stream.ok()) return stream.status();
    std::array<std::byte, 8> room;
    return stream->read(room).status();
  });
  auto stream = baton::net::dial(listener->local_address().to_string());
  if (!stream.ok()) return stream.status();
  baton::this_fiber::sleep_for(10ms);  // for the trace: the reader should be there first
  if (auto n = stream->write("hello"); !n.ok()) return n.status();
  return reader.join();
}

// 7: what is in the page cache is read at once (RWF_NOWAIT). Only a read that would wait gives the processor up.
absl::Status reads() {
  if (auto s = stop("7: a file asks the page cache first"); !s.ok()) return s;
  auto self = baton::file::open("/proc/self/exe");
  if (!self.ok()) return self.status();
  std::array<std::byte, 4> room;
  return self->read_at(room, 0).status();
}

absl::Status tour() {
  for (absl::Status (*next)() : {raw, typed, refused, blocks, sleeps, parks, reads}) {
    if (auto s = next(); !s.ok()) return s;
  }
  return stop("8: the end");
}

}  // namespace

int main(int argc, char** argv) {
  if (!examples::are_operands(argc, argv, 0)) return examples::misused("strace_tour");
  baton::options one;
  one.procs = 1;  // a short trace
  return examples::run(
      "strace_tour",
      [] {
        const absl::Status end = tour();
        return end.ok() ? 0 : examples::failed("strace_tour", end);
      },
      one);
}
