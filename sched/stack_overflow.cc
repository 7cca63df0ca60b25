// A fiber that runs out of stack touches its guard; the kernel sends SIGSEGV, whose handler runs on the
// thread's alternate stack, since the fiber has none left. The handler:
//
//   1. takes the faulting address; if the kernel itself found no room for another signal's frame, there
//      is none (SI_KERNEL), and the stack pointer and where that frame would have begun tell instead;
//   2. looks it up among the guards, without a lock. Not ours: hand on to the previous handler;
//   3. the first thread to get here writes the report; any other one that overflows meanwhile waits for
//      the end. Then abort, by SIGABRT's default action: there is no stack to go on with.
//
// In the handler nothing allocates and nothing locks, but for the unwinder (which was made to load its
// library beforehand): the fault may have come from within malloc.
//
// Handing on: a previous handler is called as the kernel would have called it. For the default action it
// is restored, and the instruction faults again when we return; a signal that somebody sent does not
// come again by itself, and is raised.
#include <baton/sched/stack_overflow.h>

#include <baton/sched/guard.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/stack_pool.h>

#include <execinfo.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

namespace baton::sched {

namespace {
namespace mo = platform::mo;

constexpr std::size_t alternate_bytes_min = std::size_t{64} * 1024;  // symbolising and a chained handler need some
constexpr int frames_max = 64;

platform::atomic<bool> installed{false};
platform::atomic<bool> reporting{false};
platform::atomic<overflow_namer> namer{nullptr};
std::size_t signal_frame_bytes = 2048;
struct sigaction previous_segv;
struct sigaction previous_bus;

// Text that is put together without allocating; what does not fit is cut off.
class line {
 public:
  line& text(const char* s) noexcept {
    while (*s != '\0' && used_ < sizeof buffer_) buffer_[used_++] = *s++;
    return *this;
  }
  line& number(std::uintptr_t n, unsigned base) noexcept {
    char digits[24];
    std::size_t i = sizeof digits;
    digits[--i] = '\0';
    do {
      digits[--i] = "0123456789abcdef"[n % base];
      n /= base;
    } while (n != 0);
    return text(digits + i);
  }
  void write() const noexcept {
    for (std::size_t done = 0; done < used_;) {
      const ssize_t n = ::write(STDERR_FILENO, buffer_ + done, used_ - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return;
      done += static_cast<std::size_t>(n);
    }
  }

 private:
  char buffer_[400];
  std::size_t used_ = 0;
};

[[noreturn]] void report(const stack& s, const void* address) noexcept {
  // relaxed: only who is first matters.
  if (reporting.exchange(true, mo::relaxed)) {
    for (;;) ::pause();
  }
  char who[128] = "a fiber";
  // acquire: pairs with set_overflow_namer().
  if (const overflow_namer name = namer.load(mo::acquire)) name(s, who, sizeof who);
  who[sizeof who - 1] = '\0';
  line()
      .text("baton: stack overflow in ")
      .text(who)
      .text(": its stack of ")
      .number(s.size / 1024, 10)
      .text(" KiB is used up (raise it with attributes.stack_size or options.stack_size); fault at 0x")
      .number(reinterpret_cast<std::uintptr_t>(address), 16)
      .text("\n")
      .write();
  void* frames[frames_max];
  ::backtrace_symbols_fd(frames, ::backtrace(frames, frames_max), STDERR_FILENO);
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

const std::byte* stack_pointer_of(const void* context) noexcept {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<const std::byte*>(static_cast<std::uintptr_t>(machine.gregs[REG_RSP]));
#elif defined(__aarch64__)
  return reinterpret_cast<const std::byte*>(static_cast<std::uintptr_t>(machine.sp));
#endif
}

void hand_on(int signal, siginfo_t* info, void* context) noexcept {
  const struct sigaction& previous = signal == SIGBUS ? previous_bus : previous_segv;
  const bool sent = info->si_code <= 0;  // by kill and the like, not by the processor
  if ((previous.sa_flags & SA_SIGINFO) == 0 && previous.sa_handler == SIG_IGN && sent) return;
  if ((previous.sa_flags & SA_SIGINFO) == 0 && (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN)) {
    struct sigaction standard = {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(signal, &standard, nullptr);
    if (sent) ::raise(signal);  // blocked until we return
    return;
  }
  sigset_t mask = previous.sa_mask;
  ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);  // returning from the handler undoes both
  if ((previous.sa_flags & SA_NODEFER) != 0) {
    ::sigemptyset(&mask);
    ::sigaddset(&mask, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else {
    previous.sa_handler(signal);
  }
}

void on_fault(int signal, siginfo_t* info, void* context) noexcept {
  const int saved_errno = errno;
  const stack_pool& pool = stack_pool::instance();
  stack owner;
  if (info->si_code == SI_KERNEL) {
    const std::byte* const at = stack_pointer_of(context);
    if (pool.find_guard(at, &owner) || pool.find_guard(at - signal_frame_bytes, &owner)) report(owner, at);
  } else if (info->si_code > 0 && pool.find_guard(info->si_addr, &owner)) {
    report(owner, info->si_addr);
  }
  hand_on(signal, info, context);
  errno = saved_errno;
}

}  // namespace

void install_overflow_handler() noexcept {
  if (installed.exchange(true, mo::relaxed)) return;
  void* frame[2];
  static_cast<void>(::backtrace(frame, 2));  // loads the unwinder, which allocates
  signal_frame_bytes = std::max(signal_frame_bytes, static_cast<std::size_t>(::getauxval(AT_MINSIGSTKSZ)));
  // What is there now must be known before our handler can run.
  ::sigaction(SIGSEGV, nullptr, &previous_segv);
  ::sigaction(SIGBUS, nullptr, &previous_bus);
  struct sigaction ours = {};
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&ours.sa_mask);
  ::sigaction(SIGSEGV, &ours, nullptr);
  ::sigaction(SIGBUS, &ours, nullptr);
}

// release: the handler sees what the namer needs.
void set_overflow_namer(overflow_namer n) noexcept { namer.store(n, mo::release); }

alternate_stack::alternate_stack() noexcept {
  const std::size_t guard = stack_guard_size();
  const std::size_t wanted = std::max(alternate_bytes_min, 2 * static_cast<std::size_t>(::getauxval(AT_MINSIGSTKSZ)));
  const std::size_t usable = (wanted + page_size() - 1) / page_size() * page_size();
  void* const base = ::mmap(nullptr, guard + usable, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (base == MAP_FAILED) return;
  base_ = static_cast<std::byte*>(base);
  bytes_ = guard + usable;
  static_cast<void>(install_guard_region(base_, guard));  // not by mprotect: it would split a mapping a thread
  stack_t ours = {};
  ours.ss_sp = base_ + guard;
  ours.ss_size = usable;
  stack_t before = {};
  if (::sigaltstack(&ours, &before) != 0) return;
  previous_ = before.ss_sp;
  previous_size_ = before.ss_size;
  previous_flags_ = before.ss_flags;
}

alternate_stack::~alternate_stack() {
  if (base_ == nullptr) return;
  stack_t before = {};
  before.ss_sp = previous_;
  before.ss_size = previous_size_;
  before.ss_flags = previous_ == nullptr ? SS_DISABLE : previous_flags_ & ~SS_ONSTACK;
  ::sigaltstack(&before, nullptr);
  ::munmap(base_, bytes_);
}

}  // namespace baton::sched
