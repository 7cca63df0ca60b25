// jump_fcontext saves the registers below the return address that it finds on the stack; the context later resumes at
// that address. Here that is the address of a `ret`, and the caller's return address lies above it. So this function
// forms both ends of a jump: it is called once and returns once. The values that jump_fcontext returns (rax, rdx) pass
// through.
#include <baton/sched/platform/jump.h>

// The symbol of jump_fcontext in the library. CMakeLists.txt finds it out: Boost 1.92's shared library hides the C
// name.
#ifndef BATON_JUMP_FCONTEXT
#define BATON_JUMP_FCONTEXT "jump_fcontext"
#endif

#if BATON_JUMP_RETURNS
asm(R"(
  .pushsection .text.baton_context_jump,"ax",@progbits
  .p2align 4
  .globl baton_context_jump
  .hidden baton_context_jump
  .type baton_context_jump,@function
baton_context_jump:
  .cfi_startproc
  leaq baton_context_arrival(%rip), %rax
  pushq %rax
  .cfi_adjust_cfa_offset 8
  jmp )" BATON_JUMP_FCONTEXT R"(@PLT
  .globl baton_context_arrival
  .hidden baton_context_arrival
baton_context_arrival:
  .cfi_adjust_cfa_offset -8
  ret
  .cfi_endproc
  .size baton_context_jump,.-baton_context_jump
  .popsection
)");
#endif
