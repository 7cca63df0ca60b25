// Two ways:
//
//   1. process_vm_readv of the own process: one call, which needs no privilege.
//   2. Through a pipe, where a sandbox or an emulator refuses the first (its error is not EFAULT): write() copies out
//      of the memory, and reports memory that cannot be read as process_vm_readv does. The pipe lives for one call:
//      children would inherit a descriptor that is kept, and code that closes all descriptors would close it.
//      /proc/self/mem does not serve: it may not be there, it also reads what PROT_NONE protects, and under an emulator
//      it shows the emulator's memory.
//
// The calls bypass the C library: the sanitizers intercept its functions, and would check the memory that these calls
// read.
#include <baton/sched/platform/peek_memory.h>

#include <baton/sched/platform/trap.h>

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>

namespace baton::sched::platform {

namespace {

// PIPE_BUF: an empty pipe takes it as a whole, without waiting.
constexpr std::size_t piece_max = 4096;

bool peek_through_pipe(std::uintptr_t from, void* to, std::size_t n) noexcept {
  int ends[2];
  if (trap3(SYS_pipe2, reinterpret_cast<long>(ends), O_CLOEXEC | O_NONBLOCK, 0) != 0) return false;
  const long out = ends[0];
  const long in = ends[1];
  auto* at = static_cast<std::byte*>(to);
  bool copied = true;
  while (copied && n > 0) {
    const auto piece = static_cast<long>(std::min(n, piece_max));
    copied = trap3(SYS_write, in, static_cast<long>(from), piece) == piece &&
             trap3(SYS_read, out, reinterpret_cast<long>(at), piece) == piece;
    from += static_cast<std::uintptr_t>(piece);
    at += piece;
    n -= static_cast<std::size_t>(piece);
  }
  trap3(SYS_close, in, 0, 0);
  trap3(SYS_close, out, 0, 0);
  return copied;
}

}  // namespace

bool peek_memory(std::uintptr_t from, void* to, std::size_t n) noexcept {
  const iovec local{to, n};
  const iovec remote{reinterpret_cast<void*>(from), n};
  const long got =
      trap6(SYS_process_vm_readv, ::getpid(), reinterpret_cast<long>(&local), 1, reinterpret_cast<long>(&remote), 1, 0);
  if (got >= 0) return static_cast<std::size_t>(got) == n;
  return got != -EFAULT && peek_through_pipe(from, to, n);
}

}  // namespace baton::sched::platform
