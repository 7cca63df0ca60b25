// What compilers leave in .eh_frame about a function's frame: how, at one address, the caller's frame and
// the return address are found. Only what a stack trace needs: of the registers, the stack pointer, the
// frame pointer and the return address.
//
// Nothing is locked or allocated, and no memory is touched but through the kernel (peek_memory.h).
#pragma once

#include <baton/sched/platform/peek_memory.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

// Code, and the tables that describe it.
using code_window = platform::peek_window<256>;

// A loaded program or library; name is what the loader calls it, empty for the program.
struct loaded_object {
  std::uintptr_t base = 0;    // what to subtract from an address to get that in the file
  std::uintptr_t tables = 0;  // its .eh_frame_hdr; 0: none
  std::uintptr_t name = 0;    // of a string, to be peeked at
};
[[nodiscard]] bool find_object(std::uintptr_t pc, loaded_object& found) noexcept;

// The registers of a frame, as far as they are known.
struct frame_registers {
  std::uintptr_t pc = 0;
  std::uintptr_t sp = 0;
  std::uintptr_t fp = 0;
  bool fp_known = false;
};

// DWARF's numbers.
#if defined(__x86_64__)
inline constexpr std::uint64_t sp_register = 7, fp_register = 6, return_register = 16;
#elif defined(__aarch64__)
inline constexpr std::uint64_t sp_register = 31, fp_register = 29, return_register = 30;
#endif

// A program for DWARF's stack machine.
struct frame_expression {
  std::uintptr_t at = 0;
  std::size_t length = 0;
};

// How a register of the caller is found. CFA, "canonical frame address": the caller's stack pointer.
struct register_rule {
  enum class kind : std::uint8_t {
    same,       // this frame has not changed it
    undefined,  // lost
    saved_at,   // in memory at CFA + offset
    is_cfa,     // CFA + offset itself
    saved_by,   // in memory where the expression says
    is_value,   // what the expression says
  };
  kind what = kind::same;
  std::int64_t offset = 0;
  frame_expression expression;
};

struct frame_info {
  std::uintptr_t function = 0;  // its first address, and the one behind it
  std::uintptr_t function_end = 0;
  bool interrupted = false;  // a signal's frame: its caller's pc is where it was, not behind a call
  std::uint64_t cfa_register = 0;
  std::int64_t cfa_offset = 0;
  frame_expression cfa_expression;  // if its length is not 0, it counts instead
  register_rule fp;
  register_rule return_address;
};

// For the instruction at pc. False: nothing is known of it.
[[nodiscard]] bool find_frame_info(std::uintptr_t pc, code_window& code, frame_info& found) noexcept;

// Reads a word of the stack that is being walked; false: it is none of that stack.
using word_reader = bool (*)(void* stack, std::uintptr_t at, std::uintptr_t& word);

// Runs an expression; `first` lies on its stack at the beginning. False: it cannot be told.
[[nodiscard]] bool evaluate(const frame_expression& e, const frame_registers& r, const std::uintptr_t* first,
                            code_window& code, word_reader read, void* stack, std::uintptr_t& result) noexcept;

}  // namespace baton::sched
