// The handler runs on the M's alternate stack. It decides by the fault's address alone; what it prints
// is formatted into a local buffer (snprintf of integers and strings does not allocate) and written
// with write(2). backtrace() is called once at installation, because its first call loads a library.
#include <baton/sched/stack_overflow.h>

#include <baton/sched/stack_pool.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <execinfo.h>
#include <mutex>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

namespace baton::sched {

namespace {

namespace mo = platform::mo;

platform::atomic<overflow_namer> name_owner{nullptr};
struct sigaction before_segv;
struct sigaction before_bus;

void write_text(const char* text, std::size_t n) noexcept {
  if (::write(STDERR_FILENO, text, n) < 0) return;
}

void report(const stack& s, const void* address) noexcept {
  char who[96] = "a fiber";
  if (const overflow_namer namer = name_owner.load(mo::acquire)) namer(s, who, sizeof who);
  char line[320];
  const int n = std::snprintf(line, sizeof line,
                              "baton: stack overflow in %s: its stack of %u KiB is used up (raise it with "
                              "attributes.stack_size or options.stack_size); fault at %p\n",
                              who, s.size / 1024, address);
  write_text(line, static_cast<std::size_t>(std::clamp(n, 0, static_cast<int>(sizeof line) - 1)));
  void* frames[64];
  const int depth = ::backtrace(frames, 64);
  ::backtrace_symbols_fd(frames, depth, STDERR_FILENO);
}

void on_fault(int signal, siginfo_t* info, void* context) noexcept {
  stack owner;
  if (stack_pool::instance().find_guard(info->si_addr, &owner)) {
    report(owner, info->si_addr);
    ::signal(SIGABRT, SIG_DFL);
    std::abort();
  }
  const struct sigaction& before = signal == SIGBUS ? before_bus : before_segv;
  if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
    before.sa_sigaction(signal, info, context);
    return;
  }
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
    return;
  }
  ::signal(signal, SIG_DFL);  // back to the instruction that faults: it kills now
}

}  // namespace

void install_overflow_handler() noexcept {
  static std::once_flag once;
  std::call_once(once, [] {
    void* frames[4];
    static_cast<void>(::backtrace(frames, 4));
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGSEGV, &action, &before_segv);
    ::sigaction(SIGBUS, &action, &before_bus);
  });
}

void set_overflow_namer(overflow_namer namer) noexcept { name_owner.store(namer, mo::release); }

alternate_stack::alternate_stack() noexcept {
  size_ = std::max<std::size_t>(std::size_t{64} << 10, 2 * ::getauxval(AT_MINSIGSTKSZ) + (std::size_t{32} << 10));
  size_ = (size_ + 4095) / 4096 * 4096;
  void* const memory =
      ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return;  // then an overflow on this thread kills without a report
  memory_ = memory;
  stack_t s{};
  s.ss_sp = memory_;
  s.ss_size = size_;
  ::sigaltstack(&s, nullptr);
}

alternate_stack::~alternate_stack() {
  if (memory_ == nullptr) return;
  stack_t s{};
  s.ss_flags = SS_DISABLE;
  ::sigaltstack(&s, nullptr);
  ::munmap(memory_, size_);
}

}  // namespace baton::sched
