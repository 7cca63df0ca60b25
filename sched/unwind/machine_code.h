// Derives facts about the stack from the instructions around an address, where the tables of frame_info.h have none.
//
// Nothing here locks or allocates. Code is read only through the kernel.
#pragma once

#include <baton/sched/unwind/frame_info.h>

#include <cstdint>

namespace baton::sched {

// Returns true if the address follows a call in a loaded object. `target` is what a direct call, or one through a fixed
// slot, calls; 0: unknown.
[[nodiscard]] bool is_behind_a_call(std::uintptr_t pc, code_window& code, std::uintptr_t& target) noexcept;

#if defined(__x86_64__)
// Returns what a function subtracts from the stack pointer after its `push %rbp; mov %rsp,%rbp`. Returns 0 if its first
// instructions are not the plain ones, or if it subtracts nothing.
[[nodiscard]] std::uintptr_t bytes_below_frame_pointer(std::uintptr_t function, code_window& code) noexcept;
#elif defined(__aarch64__)
// Finds the next direct call of `target` in [at, end). Returns the address behind it, or 0 if there is none.
[[nodiscard]] std::uintptr_t find_call(std::uintptr_t at, std::uintptr_t end, std::uintptr_t target,
                                       code_window& code) noexcept;

// Returns true if a signal handler returns to this code, which the kernel provides.
[[nodiscard]] bool returns_from_signal(std::uintptr_t pc, code_window& code) noexcept;
#endif

}  // namespace baton::sched
