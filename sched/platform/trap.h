// The system call instruction, without the C library: it neither reads nor writes errno, and no wrapper that a program
// has around the C library's functions (syscall/interpose/) sees the call. The functions return the kernel's own
// answer: a value, or the negative of an errno value.
#pragma once

namespace baton::sched::platform {

// Three arguments or six. The kernel does not read those that the system call does not take.
#if defined(__x86_64__)
inline long trap3(long nr, long a, long b, long c) noexcept {
  long r;
  asm volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "cc", "memory");
  return r;
}
inline long trap6(long nr, long a, long b, long c, long d, long e, long f) noexcept {
  long r;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(r)
               : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "cc", "memory");
  return r;
}
#elif defined(__aarch64__)
inline long trap3(long nr, long a, long b, long c) noexcept {
  register long x8 asm("x8") = nr;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "cc", "memory");
  return x0;
}
inline long trap6(long nr, long a, long b, long c, long d, long e, long f) noexcept {
  register long x8 asm("x8") = nr;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "cc", "memory");
  return x0;
}
#else
#error "baton knows the system call instruction of x86-64 and aarch64 only"
#endif

}  // namespace baton::sched::platform
