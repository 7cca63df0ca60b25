// Boost.Context's jump, made so that the processor still guesses right where functions return to.
//
// A processor guesses the target of each `ret` from a small stack of its own, on which each `call` puts its
// return address. On x86-64 jump_fcontext is called and arrives with `jmp`, so every switch leaves one address
// too many there, and after it every `ret`, up the whole call chain, is guessed by the address that belongs to
// another: 6 ns each. context_jump() arrives with `ret`. Fibers that wait in the same function then have their
// addresses in the same places, and most guesses are right: two fibers that yield 26 -> 15 ns, a ping-pong over
// channels 104 -> 90 ns, one over condition variables 95 -> 61 ns (AMD EPYC).
// On other machines, where jump_fcontext arrives with a return, it is jump_fcontext.
//
// The floating-point mode (rounding, denormals, traps) belongs to the fiber, which begins with that of whoever made it.
// On x86-64 Boost keeps it: MXCSR and the x87 control word are saved in each context, in a new one by make_fcontext. On
// aarch64 it does not: there context_jump() keeps FPCR across a jump, and a fiber's first function sets what
// fp_mode_now() was when the fiber was made. FPCR is written only when it changes, as that is slow.
#pragma once

#include <boost/context/detail/fcontext.hpp>

#include <cstdint>

namespace baton::sched {

#if defined(__aarch64__)
inline constexpr bool boost_keeps_fp_mode = false;
// The upper half of FPCR is reserved, and zero.
inline std::uint32_t fp_mode_now() noexcept {
  std::uint64_t fpcr;
  asm volatile("mrs %0, fpcr" : "=r"(fpcr)::"memory");
  return static_cast<std::uint32_t>(fpcr);
}
inline void set_fp_mode(std::uint32_t mode) noexcept {
  if (mode == fp_mode_now()) return;
  asm volatile("msr fpcr, %0" ::"r"(std::uint64_t{mode}) : "memory");
}
#else
inline constexpr bool boost_keeps_fp_mode = true;
inline std::uint32_t fp_mode_now() noexcept { return 0; }
inline void set_fp_mode(std::uint32_t) noexcept {}
#endif

#if defined(__x86_64__)
#define BATON_JUMP_RETURNS 1
extern "C" boost::context::detail::transfer_t baton_context_jump(boost::context::detail::fcontext_t to,
                                                                 void* data) noexcept;
// Where a context that was left by it goes on: at a `ret`.
extern "C" const char baton_context_arrival[];

inline boost::context::detail::transfer_t context_jump(boost::context::detail::fcontext_t to, void* data) noexcept {
  return baton_context_jump(to, data);
}
#else
#define BATON_JUMP_RETURNS 0
inline boost::context::detail::transfer_t context_jump(boost::context::detail::fcontext_t to, void* data) noexcept {
  const std::uint32_t mode = fp_mode_now();
  const auto arrived = boost::context::detail::jump_fcontext(to, data);
  set_fp_mode(mode);
  return arrived;
}
#endif

}  // namespace baton::sched
