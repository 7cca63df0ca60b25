// Traces on aarch64 that begin in, or pass through, a function that calls none: its return address is in a register.
// The test tells the unwinder what the kernel tells of a blocked thread, pc and sp, so that it also runs under an
// emulator.
#if defined(__aarch64__)
#include <baton/sched/platform/thread.h>
#include <baton/sched/unwind/stack_trace.h>

#include <gtest/gtest.h>

#include <alloca.h>
#include <sys/file.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#define AS_IF_BETWEEN asm volatile("" ::: "memory")  // what was called last is not jumped to
#define STAYS_A_FUNCTION __attribute__((noinline, noclone))

// Where a thread blocks.
struct place {
  std::uintptr_t sp = 0;
  std::atomic<std::uintptr_t> pc{0};
  char read = 0;
};

// Says where it is, and reads a byte from the descriptor.
extern "C" void reads_in_a_leaf(place* here, int fd);
// Sends itself the signal. The handler runs before it returns.
extern "C" void signals_in_a_leaf(int process, int thread, int signal);

asm(R"(
  .pushsection .text
  .p2align 4
  .globl reads_in_a_leaf
  .type reads_in_a_leaf,@function
reads_in_a_leaf:
  .cfi_startproc
  mov x9, sp
  str x9, [x0]
  adr x10, 1f
  add x11, x0, #8
  stlr x10, [x11]
  add x2, x0, #16
  mov w0, w1
  mov x1, x2
  mov x2, #1
  mov x8, #63
  svc #0
1:
  ret
  .cfi_endproc
  .size reads_in_a_leaf,.-reads_in_a_leaf

  .p2align 4
  .globl signals_in_a_leaf
  .type signals_in_a_leaf,@function
signals_in_a_leaf:
  .cfi_startproc
  mov x8, #131
  svc #0
  ret
  .cfi_endproc
  .size signals_in_a_leaf,.-signals_in_a_leaf
  .popsection
)");
static_assert(offsetof(place, pc) == 8 && offsetof(place, read) == 16);

namespace vendor {

STAYS_A_FUNCTION void calls_the_leaf(place* here, int fd) {
  reads_in_a_leaf(here, fd);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void with_alloca(place* here, int fd) {
  auto* const room = static_cast<volatile char*>(alloca(static_cast<std::size_t>(fd) + 100));
  room[0] = 1;
  reads_in_a_leaf(here, fd);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void by_a_pointer(place* here, int fd) {
  void (*volatile leaf)(place*, int) = reads_in_a_leaf;
  leaf(here, fd);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void calls(void (*f)(place*, int), place* here, int fd) {
  f(here, fd);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void outer(place* here, int fd) {
  calls_the_leaf(here, fd);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void outer_with_alloca(place* here, int fd) {
  with_alloca(here, fd);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void outer_of_a_pointer(place* here, int fd) {
  by_a_pointer(here, fd);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void outermost(void (*f)(place*, int), place* here, int fd) {
  calls(f, here, fd);
  AS_IF_BETWEEN;
}

// As if it were in flock(), which lies in another object.
STAYS_A_FUNCTION void calls_libc(place* here, int fd) {
  ::flock(-1, LOCK_UN);
  here->sp = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  here->pc = reinterpret_cast<std::uintptr_t>(&::flock);
  while (::read(fd, &here->read, 1) != 1) {
  }
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void outer_of_libc(place* here, int fd) {
  calls_libc(here, fd);
  AS_IF_BETWEEN;
}

place* in_handler = nullptr;
int fd_in_handler = -1;

STAYS_A_FUNCTION void handles() {
  reads_in_a_leaf(in_handler, fd_in_handler);
  AS_IF_BETWEEN;
}

void on_signal(int) {
  handles();
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void is_interrupted(place* here, int fd) {
  in_handler = here;
  fd_in_handler = fd;
  signals_in_a_leaf(::getpid(), baton::sched::platform::thread_id(), SIGUSR2);
  AS_IF_BETWEEN;
}

STAYS_A_FUNCTION void outer_of_the_interrupted(place* here, int fd) {
  is_interrupted(here, fd);
  AS_IF_BETWEEN;
}

}  // namespace vendor

namespace {

using namespace baton::sched;

// The trace of a thread that is in f.
std::string trace_in(void (*f)(place*, int)) {
  int fds[2];
  if (::pipe(fds) != 0) return "no pipe";
  place here;
  stack_bounds bounds;
  std::thread blocked([&] {
    void* bottom = nullptr;
    std::size_t size = 0;
    platform::thread_stack(&bottom, &size);
    bounds.low = reinterpret_cast<std::uintptr_t>(bottom);
    bounds.high = bounds.low + size;
    vendor::outermost(f, &here, fds[0]);
  });
  while (here.pc == 0) std::this_thread::yield();  // acquire: sp and the bounds were written before
  std::vector<void*> frames(32);
  frames.resize(unwind({here.pc, here.sp, 0, false}, bounds, frames));
  EXPECT_EQ(::write(fds[1], "x", 1), 1);
  blocked.join();
  ::close(fds[0]);
  ::close(fds[1]);
  std::string text(8192, '\0');
  text.resize(format(frames, text));
  return text;
}

void expect_in_order(const std::string& text, const std::vector<std::string>& names) {
  std::size_t at = 0;
  for (const auto& name : names) {
    const std::size_t found = text.find(name, at);
    ASSERT_NE(found, std::string::npos) << name << " is missing in\n" << text;
    at = found + 1;
  }
}

TEST(LinkRegister, TheCallerOfALeafIsFound) {
  expect_in_order(trace_in(vendor::outer), {"#0 reads_in_a_leaf", "#1 vendor::calls_the_leaf()", "#2 vendor::outer()",
                                            "#3 vendor::calls()", "#4 vendor::outermost()"});
}

TEST(LinkRegister, AlsoIfItsFrameIsDescribedByTheFramePointer) {
  expect_in_order(trace_in(vendor::outer_with_alloca),
                  {"#0 reads_in_a_leaf", "#1 vendor::with_alloca()", "#2 vendor::outer_with_alloca()",
                   "#3 vendor::calls()", "#4 vendor::outermost()"});
}

TEST(LinkRegister, AlsoIfItCallsIntoAnotherObject) {
  expect_in_order(trace_in(vendor::outer_of_libc), {"#0 flock", "#1 vendor::calls_libc()", "#2 vendor::outer_of_libc()",
                                                    "#3 vendor::calls()", "#4 vendor::outermost()"});
}

// The direct caller cannot be known then.
TEST(LinkRegister, BehindACallThroughAPointerTheTraceGoesOn) {
  expect_in_order(trace_in(vendor::outer_of_a_pointer),
                  {"#0 reads_in_a_leaf", "vendor::outer_of_a_pointer()", "vendor::calls()", "vendor::outermost()"});
  expect_in_order(trace_in(vendor::calls_the_leaf), {"#0 reads_in_a_leaf", "vendor::calls()", "vendor::outermost()"});
}

TEST(LinkRegister, GoesThroughASignalsFrameToALeaf) {
  std::signal(SIGUSR2, vendor::on_signal);
  expect_in_order(trace_in(vendor::outer_of_the_interrupted),
                  {"#0 reads_in_a_leaf", "vendor::handles()", "vendor::on_signal()", "signals_in_a_leaf",
                   "vendor::is_interrupted()", "vendor::outer_of_the_interrupted()", "vendor::calls()"});
  std::signal(SIGUSR2, SIG_DFL);
}

}  // namespace
#endif
