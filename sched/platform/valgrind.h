// What valgrind must be told. Where its header is not installed when baton is built, valgrind is told nothing. A
// request costs a few instructions when the process does not run under valgrind, so none belongs on a hot path.
#pragma once

#include <cstddef>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif

namespace baton::sched::platform {

#if defined(RUNNING_ON_VALGRIND)
inline bool runs_under_valgrind() noexcept { return RUNNING_ON_VALGRIND != 0; }

// To be called once for each stack, which must stay one.
//
// Registered: otherwise valgrind takes a switch for a huge frame. No errors about addresses: when a frame returns,
// memcheck forbids the memory below it. That holds for all of a stack whose fiber has ended, and the next fiber's
// closure is written there from another stack.
inline void tell_valgrind_of_stack(void* low, std::size_t size) noexcept {
  static_cast<void>(VALGRIND_STACK_REGISTER(low, static_cast<std::byte*>(low) + size - 1));
  static_cast<void>(VALGRIND_DISABLE_ADDR_ERROR_REPORTING_IN_RANGE(low, size));
}
// The leak check reads no memory about which no errors are reported: what only a stack points to would count as lost.
inline void let_valgrind_search_stack(void* low, std::size_t size) noexcept {
  static_cast<void>(VALGRIND_ENABLE_ADDR_ERROR_REPORTING_IN_RANGE(low, size));
}
#else
inline bool runs_under_valgrind() noexcept { return false; }
inline void tell_valgrind_of_stack(void*, std::size_t) noexcept {}
inline void let_valgrind_search_stack(void*, std::size_t) noexcept {}
#endif

}  // namespace baton::sched::platform
