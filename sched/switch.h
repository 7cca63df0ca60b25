// Leaving one stack for another. Internal to sched/.
//
// A switch carries its after-action as data: a function and an argument, left in the machine, whose address travels in
// fcontext's transfer pointer. The arriving side (a fiber that was parked, a new fiber's trampoline, the M's native
// context) first stores the context that was left, and then runs the after-action: only then may other threads see the
// fiber that left (queue it, commit its park, free it). The after-action runs in the section of the arriving side, on
// the same thread. It never blocks, runs no user code, and must not assume that the M has a P. A fiber learns from the
// transfer pointer which M it is on now: it may be another one than before.
//
// The exception state of the C++ runtime is saved here, with every version of Boost: its fcontext switches registers
// only (boost::context::fiber, which is not used, saves that state itself since 1.88).
#pragma once

#include <baton/sched/machine.h>
#include <baton/sched/platform/jump.h>
#include <baton/sched/sanitizer.h>

namespace baton::sched {

// The first thing that the arriving side does. Returns the M that it is on now.
inline machine* arrive(boost::context::detail::transfer_t t) noexcept {
  auto* const m = static_cast<machine*>(t.data);
  *m->save_to = t.fctx;
  if (m->action != nullptr) m->action(m, m->action_arg);
  return m;
}

namespace detail {
// What the arriving side is told.
inline void leave_word(machine* m, void** save_to, after_action action, void* arg) noexcept {
  m->save_to = save_to;
  m->action = action;
  m->action_arg = arg;
}
}  // namespace detail

// All three require: in a section. The calling context continues later, when a fiber or a native context switches to
// it. The return value of the first two is the M that it is on then.

// Fiber to fiber.
inline machine* switch_to(machine* m, fiber* from, fiber* to, after_action action, void* arg,
                          bool ending = false) noexcept {
  from->exceptions = *m->exceptions;
  *m->exceptions = to->exceptions;
  to->on = m;
  m->current.store(to, mo::relaxed);
  detail::leave_word(m, &from->context, action, arg);
  sanitizer::start_switch(ending ? nullptr : &from->asan_fake_stack, to->stack.limit(), to->stack.size, to->tsan_fiber);
  const auto t = context_jump(to->context, m);
  sanitizer::finish_switch(from->asan_fake_stack);
  return arrive(t);
}

// Fiber to the native context of its M.
inline machine* switch_to_native(machine* m, fiber* from, after_action action, void* arg,
                                 bool ending = false) noexcept {
  from->exceptions = *m->exceptions;
  *m->exceptions = exception_state{};
  m->current.store(nullptr, mo::relaxed);
  detail::leave_word(m, &from->context, action, arg);
  sanitizer::start_switch(ending ? nullptr : &from->asan_fake_stack, m->stack_bottom, m->stack_size, m->tsan_fiber);
  const auto t = context_jump(m->native, m);
  sanitizer::finish_switch(from->asan_fake_stack);
  return arrive(t);
}

// The native context to a fiber. Returns when some fiber switches back to the native context.
inline void switch_from_native(machine* m, fiber* to) noexcept {
  *m->exceptions = to->exceptions;
  to->on = m;
  m->current.store(to, mo::relaxed);
  detail::leave_word(m, &m->native, nullptr, nullptr);
  sanitizer::start_switch(&m->asan_fake_stack, to->stack.limit(), to->stack.size, to->tsan_fiber);
  const auto t = context_jump(to->context, m);
  sanitizer::finish_switch(m->asan_fake_stack);
  arrive(t);
}

}  // namespace baton::sched
