// Guards below stacks: a run of pages whose touch is a fault.
#pragma once

#include <baton/sched/stack_pool.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched::stack_guard {

// 16 KiB: what a frame may skip between two touches when the compiler does not probe
// (-fstack-clash-protection probes each page anyway).
inline constexpr std::size_t bytes = 16 * 1024;

// Guards the `bytes` at each of first, first + stride, ... (n of them), in the best way that works.
// Returns how many are guarded now; says once, on stderr, when some are not.
std::size_t install(std::byte* first, std::size_t stride, std::size_t n) noexcept;

[[nodiscard]] stack_pool::guard_kind kind() noexcept;
[[nodiscard]] std::uint64_t failures() noexcept;
void set_for_test(stack_pool::guard_kind kind, std::uint64_t mprotect_budget) noexcept;

}  // namespace baton::sched::stack_guard
