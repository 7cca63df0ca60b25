// A library that checks its thread, used from fibers, which change threads. Many libraries are so: OpenGL contexts,
// some databases' handles, whatever keeps its state in thread_locals. This one is `plotter`: a handle belongs to the
// thread that opened it, and calls on any other thread fail.
//
//   thread_affine [fibers] [calls]        default 4 50
//
// - Without more, a fiber may be on another thread after each call that switches. The first round shows how often the
//   library refuses.
// - lock_os_thread() keeps the fiber on its thread, and other fibers off it, until unlock_os_thread(). The second round
//   shows that the library refuses nothing. What it costs is a thread for each such fiber, and that the fiber waits
//   by a hand-over between threads instead of a switch.
// - If only what a call leaves behind matters (errno, a last error of the library's), pinned_blocking() is enough.
//
// Exit code 0: the library refused no call of a locked fiber; 1: it did.
#include <baton/baton.h>

#include "command_line.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

namespace {

// ---- the library: it knows nothing of fibers ----
// noinline: as a library's functions, which a program does not see into. A compiler may ask only once which thread it
// is on, also in a function that switches.

struct plotter {
  std::thread::id owner;
  int lines = 0;
};

[[gnu::noinline]] plotter* plotter_open() { return new plotter{std::this_thread::get_id()}; }
void plotter_close(plotter* p) { delete p; }
// Returns false on a thread that has not opened p.
[[gnu::noinline]] bool plotter_draw(plotter* p) {
  if (p->owner != std::this_thread::get_id()) return false;
  ++p->lines;
  return true;
}

// ---- the program ----

struct closer {
  void operator()(plotter* p) const { plotter_close(p); }
};

// Keeps the calling fiber on its thread.
class on_one_thread {
 public:
  on_one_thread() { baton::lock_os_thread(); }
  ~on_one_thread() { baton::unlock_os_thread(); }
  on_one_thread(const on_one_thread&) = delete;
  on_one_thread& operator=(const on_one_thread&) = delete;
};

// Draws, and waits before each call for something: here for time to pass. Returns how often the library refused.
int draw(long calls) {
  const std::unique_ptr<plotter, closer> mine(plotter_open());
  int refused = 0;
  for (long i = 0; i < calls; ++i) {
    baton::this_fiber::sleep_for(std::chrono::microseconds(200));
    if (!plotter_draw(mine.get())) ++refused;
  }
  return refused;
}

template <class Draw>
int draw_in(long fibers, Draw one) {
  std::atomic<int> refused{0};
  baton::task_group all;
  for (long i = 0; i < fibers; ++i) {
    all.spawn([&] { refused += one(); });
  }
  static_cast<void>(all.wait());
  return refused;
}

int run(long fibers, long calls) {
  // Something must make the fibers move: calls that block hand their P to another thread.
  std::atomic<bool> over{false};
  auto mover = baton::spawn([&] {
    while (!over) {
      baton::blocking(baton::will_block, [] { std::this_thread::sleep_for(std::chrono::microseconds(300)); });
    }
  });
  const int anywhere = draw_in(fibers, [&] { return draw(calls); });
  const int locked = draw_in(fibers, [&] {
    const on_one_thread here;
    return draw(calls);
  });
  over = true;
  mover.join();
  std::printf("%ld fibers with %ld calls each: %d refused without a lock, %d with lock_os_thread()\n", fibers, calls,
              anywhere, locked);
  if (std::fflush(stdout) != 0) {
    return examples::failed("thread_affine", absl::DataLossError("write stdout: not all of it could be written"));
  }
  return locked == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  long fibers = 4;
  long calls = 50;
  if (!examples::are_operands(argc, argv, 2) || (argc > 1 && !examples::read_number(argv[1], 1, 1'000, fibers)) ||
      (argc > 2 && !examples::read_number(argv[2], 1, 100'000, calls))) {
    return examples::misused("thread_affine [fibers] [calls]");
  }
  return examples::run("thread_affine", [&] { return run(fibers, calls); });
}
