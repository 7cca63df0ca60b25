// C code that calls back into fibers. Two cases, with nothing but the C library:
//
// - A library's own thread calls: timer_create() with SIGEV_THREAD has a thread of the C library call a function each
//   time the timer expires. That thread is not a fiber, and every call of baton works there: this one sends into a
//   channel and waits for the answer. A fiber receives.
// - A fiber calls C, and C calls the fiber's function: nftw() walks a directory and calls `visit` for each entry. That
//   is the fiber's own code, several C frames deep. It may wait: here it hands each entry to another fiber, waits until
//   that has looked at it, and walks a directory of its own in between.
//
//   c_callbacks [directory]        default /proc/self/fd
//
// Where C code calls back, the fiber may come back to it on another thread. If the C code keeps something of its thread
// (errno, a thread_local) across the callback, wrap its call in baton::blocking() or lock the fiber to its thread.
//
// Exit code 0: both have been called back as often as they should; 1: they have not.
#include <baton/baton.h>

#include "command_line.h"

#include <ftw.h>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <string>

namespace {

struct ticking {
  baton::channel<int> ticks;
  baton::channel<int> answers;
  int sent = 0;
  baton::mutex one_at_a_time;  // each expiry has a thread of its own
};

// On a thread of the C library's.
void on_tick(sigval value) {
  auto& t = *static_cast<ticking*>(value.sival_ptr);
  const std::lock_guard hold(t.one_at_a_time);
  if (!t.ticks.send(t.sent + 1)) return;  // the fiber has had enough
  ++t.sent;
  static_cast<void>(t.answers.receive());
}

// Returns true if a timer of the C library's could make so many ticks.
bool count_ticks(int wanted) {
  // The C library may start one more thread for the timer when it is already deleted: what that uses stays.
  static ticking t;
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_value.sival_ptr = &t;
  event.sigev_notify_function = on_tick;
  timer_t timer{};
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return false;
  const itimerspec every{{0, 2'000'000}, {0, 2'000'000}};
  ::timer_settime(timer, 0, &every, nullptr);
  int got = 0;
  while (got < wanted) {
    const auto tick = t.ticks.receive();
    if (!tick) break;
    got = *tick;
    t.answers.send(got);
  }
  ::timer_delete(timer);
  t.ticks.close();
  t.answers.close();
  std::printf("a thread of the C library called %d times, and got its answers\n", got);
  return got == wanted;
}

struct walking {
  baton::channel<std::string> entries;
  baton::channel<bool> looked_at;
  int seen = 0;
  int nested = 0;
};

// nftw() passes no argument of the caller's: a fiber_local does what a global would do for a program of one thread.
baton::fiber_local<walking*> walk;

int count_nested(const char*, const struct stat*, int, FTW*) {
  ++(*walk)->nested;
  return 0;
}

int visit(const char* path, const struct stat*, int, FTW* at) {
  walking& w = **walk;
  ++w.seen;
  w.entries.send(path);
  static_cast<void>(w.looked_at.receive());                                // waits, in the middle of nftw()
  if (at->level == 0) ::nftw("/proc/self/fd", count_nested, 4, FTW_PHYS);  // C in the callback of C
  return 0;
}

bool walk_through(const std::string& directory) {
  walking w;
  *walk = &w;
  int received = 0;
  auto other = baton::spawn([&] {
    while (w.entries.receive()) {
      ++received;
      baton::this_fiber::yield();
      w.looked_at.send(true);
    }
  });
  const int result = ::nftw(directory.c_str(), visit, 4, FTW_PHYS);
  w.entries.close();
  other.join();
  if (result != 0) std::perror(("c_callbacks: nftw " + directory).c_str());
  std::printf("nftw() of %s called back %d times, and %d times from within\n", directory.c_str(), w.seen, w.nested);
  return result == 0 && w.seen > 0 && received == w.seen && w.nested > 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (!examples::are_operands(argc, argv, 1)) return examples::misused("c_callbacks [directory]");
  const std::string directory = argc > 1 ? argv[1] : "/proc/self/fd";
  return examples::run("c_callbacks", [&] {
    const bool good = count_ticks(20) && walk_through(directory);
    if (std::fflush(stdout) != 0) {
      return examples::failed("c_callbacks", absl::DataLossError("write stdout: not all of it could be written"));
    }
    return good ? 0 : 1;
  });
}
