// A fiber that runs out of stack touches its guard. The kernel sends SIGSEGV, whose handler runs on the thread's
// alternate stack, because the fiber has none left. The handler:
//
//   1. takes the faulting address. If the kernel itself found no room for another signal's frame, there is none
//      (SI_KERNEL); instead the handler uses the stack pointer and the address where that frame would have begun;
//   2. looks the address up among the guards, without a lock. If it is in none of them, the handler hands the signal
//      on to the previous handler;
//   3. asks what this thread runs. If the guard is not that fiber's: while the stack pointer is within the fiber's
//      stack, a pointer or an index went astray; otherwise a frame has stepped over its own guard;
//   4. lets the first thread that gets here write the report. Any other thread that overflows meanwhile waits for the
//      end. Then it aborts, by SIGABRT's default action: there is no stack to continue on.
//
// Nothing in the handler allocates or locks, except the unwinder (which was made to load its library beforehand): the
// fault may have come from within malloc.
//
// Removing (shutdown) puts a previous handler back if the runtime's is still in place. If not, other code has installed
// its handler over the runtime's and may call it. Then the runtime's handler stays as it is, and a later start does not
// install it again: otherwise each would hand the signal on to the other for ever.
//
// Handing on: a previous handler is called as the kernel would have called it. If the previous action was the default
// one, it is restored, and the instruction faults again when the handler returns. A signal that was sent does not come
// again by itself, so the handler raises it.
#include <baton/sched/stack/stack_overflow.h>

#include <baton/sched/log/log.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/stack/guard.h>
#include <baton/sched/stack/stack_pool.h>
#include <baton/sched/unwind/stack_trace.h>

#include <execinfo.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

namespace baton::sched {

namespace {
namespace mo = platform::mo;

constexpr std::size_t alternate_bytes_min = std::size_t{64} * 1024;  // symbolising and a chained handler need some
constexpr int frames_max = 64;

platform::atomic<bool> reporting{false};
platform::atomic<overflow_namer> namer{nullptr};
platform::atomic<overflow_runner> runner{nullptr};
platform::atomic<overflow_closure_namer> closure_namer{nullptr};
std::size_t signal_frame_bytes = 2048;

// A signal that is handled here. The handler reads `previous`, which is not written while the handler may run.
struct handled {
  int signal;
  bool installed = false;
  struct sigaction previous = {};
  platform::atomic<bool> reset{false};  // it was to be called once (SA_RESETHAND), and has been
};
constinit handled segv{SIGSEGV};
constinit handled bus{SIGBUS};

struct fault {
  const void* address;
  const std::byte* sp;
  void* pc;
};

// Writes the text of a report. It needs much stack, and runs on the alternate one.
[[nodiscard]] std::size_t describe(const stack& owner, const fault& at, char* text, std::size_t size) noexcept {
  char whose[fiber_label_max] = "a fiber";
  char who[fiber_label_max] = "";
  char runs[200] = "";
  stack own;
  // acquire: pairs with set_overflow_namer().
  if (const overflow_namer name = namer.load(mo::acquire)) name(owner, whose, sizeof whose);
  if (const overflow_runner run = runner.load(mo::acquire)) own = run(who, sizeof who);
  constexpr const char* advice = "raise it with attributes.stack_size or options.stack_size";
  const auto address = reinterpret_cast<std::uintptr_t>(at.address);
  const bool is_owner = who[0] == '\0' || own.top == owner.top;
  if (const overflow_closure_namer name = closure_namer.load(mo::acquire))
    name(is_owner ? owner : own, runs, sizeof runs);
  const char* const it_runs = runs[0] != '\0' ? "; it runs " : "";
  int n = 0;
  if (is_owner) {
    n = std::snprintf(text, size,
                      "baton: stack overflow in %s: its stack of %u KiB is used up (%s); fault at 0x%zx%s%s\n", whose,
                      owner.size / 1024, advice, address, it_runs, runs);
  } else if (!own || (at.sp >= own.limit() && at.sp < own.top)) {
    n = std::snprintf(text, size,
                      "baton: %s touched the guard beneath the stack of %s, by an address that is none of its own "
                      "stack's; fault at 0x%zx%s%s\n",
                      who, whose, address, it_runs, runs);
  } else {
    n = std::snprintf(text, size,
                      "baton: stack overflow in %s: a frame stepped over the guard beneath its stack of %u KiB, and "
                      "hit the guard beneath the stack of %s (%s; -fstack-clash-protection makes every frame hit its "
                      "own guard); fault at 0x%zx%s%s\n",
                      who, own.size / 1024, whose, advice, address, it_runs, runs);
  }
  return n > 0 ? std::min(static_cast<std::size_t>(n), size - 1) : 0;
}

[[noreturn]] void report(const stack& owner, const fault& at) noexcept {
  // relaxed: only the choice of the first thread matters.
  if (reporting.exchange(true, mo::relaxed)) {
    for (;;) ::pause();
  }
  char text[4096];
  const std::int64_t patience_ends = log_patience_ends_ns();
  log_text({text, describe(owner, at, text, sizeof text)}, patience_ends);
  void* frames[frames_max];
  std::span<void*> trace{frames, static_cast<std::size_t>(std::max(0, ::backtrace(frames, frames_max)))};
  // The trace begins where the thread faulted. The handler's own frames are left out.
  const auto begin = std::find(trace.begin(), trace.end(), at.pc);
  if (begin != trace.end()) trace = trace.subspan(static_cast<std::size_t>(begin - trace.begin()));
  constexpr std::size_t at_a_time = 8;
  for (std::size_t i = 0; i < trace.size(); i += at_a_time) {
    log_text({text, format(trace.subspan(i, std::min(at_a_time, trace.size() - i)), text, i)}, patience_ends);
  }
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

fault where(const void* address, const void* context) noexcept {
  const auto& at = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  const auto sp = static_cast<std::uintptr_t>(at.gregs[REG_RSP]);
  const auto pc = static_cast<std::uintptr_t>(at.gregs[REG_RIP]);
#elif defined(__aarch64__)
  const auto sp = static_cast<std::uintptr_t>(at.sp);
  const auto pc = static_cast<std::uintptr_t>(at.pc);
#else
#error "stack_overflow.cc: the stack pointer of this processor's signal context is not known"
#endif
  return {address, reinterpret_cast<const std::byte*>(sp), reinterpret_cast<void*>(pc)};
}

void hand_on(int signal, siginfo_t* info, void* context) noexcept {
  handled& h = signal == SIGBUS ? bus : segv;
  const struct sigaction& previous = h.previous;
  const bool sent = info->si_code <= 0;  // by kill and the like, not by the processor
  const bool plain = (previous.sa_flags & SA_SIGINFO) == 0;
  if (plain && previous.sa_handler == SIG_IGN && sent) return;
  const bool none = plain && (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN);
  // relaxed: only one of several threads calls the previous handler.
  if (none || ((previous.sa_flags & static_cast<int>(SA_RESETHAND)) != 0 && h.reset.exchange(true, mo::relaxed))) {
    struct sigaction standard = {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(signal, &standard, nullptr);
    if (sent) ::raise(signal);  // blocked until this handler returns
    return;
  }
  sigset_t mask = previous.sa_mask;
  ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);  // returning from the handler undoes both changes
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
    const fault at = where(nullptr, context);
    if (pool.find_guard(at.sp, &owner) || pool.find_guard(at.sp - signal_frame_bytes, &owner)) {
      report(owner, {at.sp, at.sp, at.pc});
    }
  } else if (info->si_code > 0 && pool.find_guard(info->si_addr, &owner)) {
    report(owner, where(info->si_addr, context));
  }
  hand_on(signal, info, context);
  errno = saved_errno;
}

bool is_ours(const struct sigaction& a) noexcept {
  return (a.sa_flags & SA_SIGINFO) != 0 && a.sa_sigaction == on_fault;
}

void install(handled& h) noexcept {
  if (h.installed) return;
  // The previous action must be known before the runtime's handler can run.
  if (::sigaction(h.signal, nullptr, &h.previous) != 0) return;
  struct sigaction ours = {};
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&ours.sa_mask);
  h.reset.store(false, mo::relaxed);
  h.installed = ::sigaction(h.signal, &ours, nullptr) == 0;
}

void remove(handled& h) noexcept {
  struct sigaction now = {};
  if (!h.installed || ::sigaction(h.signal, nullptr, &now) != 0 || !is_ours(now)) return;
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  h.installed = ::sigaction(h.signal, h.reset.load(mo::relaxed) ? &standard : &h.previous, nullptr) != 0;
}

}  // namespace

void install_overflow_handler() noexcept {
  void* frame[2];
  static_cast<void>(::backtrace(frame, 2));  // loads the unwinder, which allocates
  signal_frame_bytes = std::max(signal_frame_bytes, static_cast<std::size_t>(::getauxval(AT_MINSIGSTKSZ)));
  install(segv);
  install(bus);
}

void remove_overflow_handler() noexcept {
  remove(segv);
  remove(bus);
}

// release: the handler sees what the functions need. Pairs with the loads in describe().
void set_overflow_namer(overflow_namer n, overflow_runner r, overflow_closure_namer c) noexcept {
  closure_namer.store(c, mo::release);
  runner.store(r, mo::release);
  namer.store(n, mo::release);
}

alternate_stack::alternate_stack() noexcept {
  const std::size_t guard = stack_guard_size();
  const std::size_t wanted = std::max(alternate_bytes_min, 2 * static_cast<std::size_t>(::getauxval(AT_MINSIGSTKSZ)));
  const std::size_t usable = (wanted + page_size() - 1) / page_size() * page_size();
  void* const base = ::mmap(nullptr, guard + usable, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (base == MAP_FAILED) return;
  base_ = static_cast<std::byte*>(base);
  bytes_ = guard + usable;
  static_cast<void>(install_guard_region(base_, guard));  // not by mprotect: it splits a mapping per thread
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
