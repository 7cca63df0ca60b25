// Stack traces of others: of a thread that is blocked in a system call, or of a fiber that is parked.
// Nobody is stopped or signalled for it, so the stack may change while it is read: the trace is then
// wrong, but nothing crashes and nothing loops. Who cares looks afterwards whether the other still is
// where it was.
//
// Nothing is allocated, and no lock of the loader or of malloc is taken: what is looked at may hold it.
// Uses some 4 KiB of the caller's stack.
//
// What it costs (a virtual machine, 2.5 GHz AMD EPYC): unwinding 15 us a frame, nearly all of it
// process_vm_readv; formatting 35 us a frame, and some milliseconds the first time in a large program,
// whose symbol table is read then.
#pragma once

#include <baton/sched/platform/thread_state.h>
#include <baton/sched/unwind/frame_info.h>
#include <baton/sched/unwind/stack_bounds.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace baton::sched {

// Where a fiber that does not run goes on, and where its stack ends then; `context` is what its last jump left
// (platform/jump.h). Meaningful if it still has not run when this returns; empty if its context cannot be read.
[[nodiscard]] std::optional<frame_registers> context_of(const void* context) noexcept;
// Of a thread that is blocked in the kernel; empty if it is not.
[[nodiscard]] std::optional<frame_registers> context_of(const platform::thread_call_state& call) noexcept;

// Fills `out` with addresses, the innermost frame first: where it goes on, then return addresses. Returns
// how many there are: at least one, if there is room.
std::size_t unwind(const frame_registers& from, const stack_bounds& bounds, std::span<void*> out) noexcept;

// A line for each frame into `out`, always with a NUL; what does not fit is left out, by whole lines:
//       #0 poll+0x4f (libc.so.6+0xfb01f)
//       #1 vendor_wait()+0x1d (program+0x11d2)
// The offsets are those in the function and in the file (what addr2line takes). A frame without a symbol
// is named by its offset alone. Ends where the scheduler's own first frame begins. Returns the length.
// number: the first frame's, if others have been formatted before.
std::size_t format(std::span<void* const> frames, std::span<char> out, std::size_t number = 0) noexcept;

// What such a line says of one frame, without number and end of line. 0: it does not fit, or is the scheduler's
// own first frame; what `out` holds is then of no use.
std::size_t format_frame(const void* pc, std::span<char> out) noexcept;

// What a frame's address belongs to, without arguments' types: "vendor_wait()". False: no symbol.
[[nodiscard]] bool name_of_frame(const void* pc, std::span<char> out) noexcept;

}  // namespace baton::sched
