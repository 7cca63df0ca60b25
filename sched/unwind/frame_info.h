// What compilers leave in .eh_frame about a function's frame: how to find the caller's frame and the return address
// from an address in the function. It covers only the registers that a stack trace needs: the stack pointer, the frame
// pointer and the return address.
//
// Nothing here locks or allocates. Memory is read only through the kernel (peek_memory.h).
#pragma once

#include <baton/sched/platform/peek_memory.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

// Code, and the tables that describe it.
using code_window = platform::peek_window<256>;

// A loaded program or library. `name` is the loader's name for it, empty for the program.
struct loaded_object {
  std::uintptr_t base = 0;    // subtracted from an address, it gives the address in the file
  std::uintptr_t tables = 0;  // its .eh_frame_hdr; 0: none
  std::uintptr_t name = 0;    // the address of a string, to be peeked at
};
[[nodiscard]] bool find_object(std::uintptr_t pc, loaded_object& found) noexcept;

// The registers of a frame, as far as they are known.
struct frame_registers {
  std::uintptr_t pc = 0;
  std::uintptr_t sp = 0;
  std::uintptr_t fp = 0;
  bool fp_known = false;
  // aarch64: the register of the return address, which a function that calls none keeps there. It is known of an
  // interrupted frame only.
  std::uintptr_t link = 0;
  bool link_known = false;
};

// DWARF's register numbers.
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

// How to find a register of the caller. The CFA ("canonical frame address") is the caller's stack pointer.
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
  std::uintptr_t function = 0;  // its first address; function_end is the address after it
  std::uintptr_t function_end = 0;
  bool interrupted = false;  // a signal's frame: its caller's pc is the interrupted instruction, not one after a call
  std::uint64_t cfa_register = 0;
  std::int64_t cfa_offset = 0;
  frame_expression cfa_expression;  // if its length is not 0, it replaces register and offset
  register_rule fp;
  register_rule return_address;
};

// Finds the description for the instruction at pc. Returns false if nothing is known of it.
[[nodiscard]] bool find_frame_info(std::uintptr_t pc, code_window& code, frame_info& found) noexcept;

// Reads a word of the stack that is being walked. Returns false if the address is not on that stack.
using word_reader = bool (*)(void* stack, std::uintptr_t at, std::uintptr_t& word);

// Runs an expression; `first` is on DWARF's stack when it begins. Returns false if the result cannot be found.
[[nodiscard]] bool evaluate(const frame_expression& e, const frame_registers& r, const std::uintptr_t* first,
                            code_window& code, word_reader read, void* stack, std::uintptr_t& result) noexcept;

}  // namespace baton::sched
