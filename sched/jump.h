// Boost.Context's jump, made so that the processor still guesses right where functions return to.
//
// A processor guesses the target of each `ret` from a small stack of its own, on which each `call` puts its
// return address. On x86-64 jump_fcontext is called and arrives with `jmp`, so every switch leaves one address
// too many there, and after it every `ret`, up the whole call chain, is guessed by the address that belongs to
// another: 6 ns each. context_jump() arrives with `ret`. Fibers that wait in the same function then have their
// addresses in the same places, and most guesses are right: two fibers that yield 26 -> 15 ns, a ping-pong over
// channels 104 -> 90 ns, one over condition variables 95 -> 61 ns (AMD EPYC).
// On other machines, where jump_fcontext arrives with a return, it is jump_fcontext.
#pragma once

#include <boost/context/detail/fcontext.hpp>

namespace baton::sched {

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
  return boost::context::detail::jump_fcontext(to, data);
}
#endif

}  // namespace baton::sched
