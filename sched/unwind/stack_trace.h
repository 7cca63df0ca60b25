// Stack traces of other agents: of a thread that is blocked in a system call, or of a fiber that is parked. The agent
// is neither stopped nor signalled, so its stack may change during the read. The trace is wrong then, but nothing
// crashes and nothing loops. A caller to which this matters checks afterwards whether the agent is still where it was.
//
// Nothing here allocates or takes a lock of the loader or of malloc: the observed agent may hold it. Uses some 4 KiB of
// the caller's stack.
//
// What it costs (a virtual machine, 2.5 GHz AMD EPYC): unwinding 15 us a frame, nearly all of it process_vm_readv;
// formatting 35 us a frame, and some milliseconds the first time in a large program, whose symbol table is read then.
#pragma once

#include <baton/sched/platform/thread_state.h>
#include <baton/sched/unwind/frame_info.h>
#include <baton/sched/unwind/stack_bounds.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace baton::sched {

// Returns where a fiber that does not run resumes, and where its stack ends then. `stored` is where its last jump left
// its context (platform/jump.h). The result is meaningful if the fiber still has not run when this function returns. It
// is empty if the context cannot be read.
[[nodiscard]] std::optional<frame_registers> context_of(void* const* stored) noexcept;
// Returns the context of a thread that is blocked in the kernel; empty if the thread is not blocked there.
[[nodiscard]] std::optional<frame_registers> context_of(const platform::thread_call_state& call) noexcept;

// Fills `out` with addresses, the innermost frame first: where it resumes, then return addresses. Returns how many
// there are: at least one, if there is room. On aarch64 the caller of the innermost function may be missing if that one
// calls no function (stack_trace.cc).
std::size_t unwind(const frame_registers& from, const stack_bounds& bounds, std::span<void*> out) noexcept;

// Writes a line for each frame into `out`, always with a NUL. Leaves out whole lines that do not fit:
//       #0 poll+0x4f (libc.so.6+0xfb01f)
//       #1 vendor_wait()+0x1d (program+0x11d2)
// The offsets are those in the function and in the file (addr2line takes the latter). A frame without a symbol is named
// only by its offset. Ends where the scheduler's own first frame begins. Returns the length. number: the number of the
// first frame, if others have been formatted before.
std::size_t format(std::span<void* const> frames, std::span<char> out, std::size_t number = 0) noexcept;

// Writes what such a line says of one frame, without the number and the end of line. Returns 0 if the text does not fit
// or if the frame is the scheduler's own first one; `out` is meaningless then.
std::size_t format_frame(const void* pc, std::span<char> out) noexcept;

// Writes the name of the function that a frame's address belongs to, without argument types: "vendor_wait()". Returns
// false if there is no symbol.
[[nodiscard]] bool name_of_frame(const void* pc, std::span<char> out) noexcept;

}  // namespace baton::sched
