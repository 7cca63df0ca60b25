// Boost.Context's jump, changed so that the processor still predicts return addresses correctly.
//
// A processor predicts the target of each `ret` from a small internal stack, onto which each `call` pushes its return
// address. On x86-64 jump_fcontext is called but arrives with `jmp`, so every switch leaves one address too many on
// that stack. After it, every `ret` up the whole call chain is predicted from an address that belongs to another one: 6
// ns each. context_jump() arrives with `ret`. Fibers that wait in the same function then have their addresses in the
// same places, and most predictions are right: two fibers that yield take 15 ns instead of 26, a ping-pong over
// channels 90 ns instead of 104, one over condition variables 61 ns instead of 95 (AMD EPYC). On other machines
// jump_fcontext arrives with a return, and context_jump() is jump_fcontext.
//
// The floating-point mode (rounding, denormals, traps) belongs to the fiber, which inherits its initial mode from the
// fiber or thread that made it. On x86-64 Boost keeps the mode: each context saves MXCSR and the x87 control word, and
// make_fcontext stores them in a new one. On aarch64 Boost does not keep it. There context_jump() keeps FPCR across a
// jump, and a fiber's first function sets the mode that fp_mode_now() returned when the fiber was made. FPCR is written
// only when it changes, because writing it is slow.
#pragma once

#include <boost/context/detail/fcontext.hpp>

#include <cstdint>

namespace baton::sched {

#if defined(__aarch64__)
inline constexpr bool boost_keeps_fp_mode = false;
// The upper half of FPCR is reserved and zero.
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
// Where a context that baton_context_jump() left resumes: at a `ret`.
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
