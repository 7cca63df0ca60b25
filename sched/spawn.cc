// Birth and end of fibers.
//
// Birth: an entry and a stack come from the P's caches (nothing is allocated), in one short section. The caller builds
// the closure in user state, at the top of the new stack. launch() queues the fiber in a second section. Without caches
// (empty, or a plain thread) the entry and the stack come from the slab and the stack depot, outside any section,
// because those may map memory.
//
// End (join.cc has the joiner's side): entry has returned, in user state, on the fiber's own stack. All that is the
// user's (closure, result of a detached fiber, fiber-locals) is gone by then or is in the slab entry. Only the context
// that runs next can give the stack back, so that is an after-action (retire). Only then does the join word say ended:
// the joiner may free the entry at once.
//
//   join word             moved there by
//   running -> closing    the fiber, when its result is complete, still on its stack
//   running -> agent      the joiner, which parks
//   closing -> agent      the joiner, after it has looked for a while; the agent is marked at_end
//   agent   -> agent      the fiber, instead of running -> closing, if the agent is timed: marks it at_end
//   agent   -> running    a timed joiner's timer, which takes the agent back and readies it; or the joiner itself,
//                         if it is a plain thread or got no memory for a timer. (-> closing, if it is marked at_end)
//   running -> detached   the owner of the handle: the fiber drops its result itself
//   closing -> detached   the owner of the handle (release_fiber), which has dropped the result
//   *       -> ended      retire, by exchange: the former value tells whether to ready a joiner or to free the entry
//   agent   -> ended      retire_to_joiner: the fiber has readied the parked joiner and switches to it. Not if the
//                         joiner is timed: then the one that takes the agent out of the word readies it, and no other
//
// Initial stack pointers are coloured: the closures and the first frames of different fibers start at different cache
// lines of their top page.
#include <baton/sched/spawn.h>

#include <baton/sched/declared_call.h>
#include <baton/sched/fiber_slab.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/park.h>
#include <baton/sched/scheduler.h>
#include <baton/sched/stack/stack_pool.h>
#include <baton/sched/switch.h>
#include <baton/sched/this_machine.h>

#include <algorithm>
#include <cstring>

namespace baton::sched {

namespace {

constexpr std::uint64_t id_block = 64;

void give_stack_back(processor* p, const stack& s) noexcept {
  sanitizer::forget_stack(s.limit(), s.size);
  if (p == nullptr || s.size > limits::stack_cache_bytes_each) {
    stack_pool::instance().release(&s, 1);
    return;
  }
  auto& cache = p->stacks[s.klass];
  if (cache.count == limits::stack_cache) {
    constexpr std::uint32_t half = limits::stack_cache / 2;
    cache.count -= half;
    stack_pool::instance().release(cache.free + cache.count, half);
  }
  cache.free[cache.count++] = s;
}

void free_entry(processor* p, fiber* f) noexcept {
  f->in_use.store(false, mo::relaxed);
  f->name[0] = '\0';
  if (p == nullptr) {
    f->next = nullptr;
    free_fibers(f);
    return;
  }
  f->next = p->free_fibers;
  p->free_fibers = f;
  if (++p->free_fiber_count <= limits::fiber_cache) return;
  fiber* last = f;  // the warm half stays
  for (std::size_t i = 1; i < limits::fiber_cache / 2; ++i) last = last->next;
  free_fibers(last->next);
  last->next = nullptr;
  p->free_fiber_count = limits::fiber_cache / 2;
}

void give_stack_back(processor* p, fiber* f) noexcept {
  sanitizer::destroy_tsan_fiber(f->tsan_fiber);
  f->tsan_fiber = nullptr;
  const stack s = f->stack;
  f->stack = {};
  give_stack_back(p, s);
}

// After-actions of a fiber's last switch.

// For a switch to the joiner, which was readied before: by the time the joiner runs, this is done.
void retire_to_joiner(machine* m, void* arg) noexcept {
  auto* const f = static_cast<fiber*>(arg);
  give_stack_back(m->my_p(), f);
  f->join.store(join_ended, mo::release);  // no other thread writes it any more
}

void retire(machine* m, void* arg) noexcept {
  auto* const f = static_cast<fiber*>(arg);
  processor* const p = m->my_p();
  give_stack_back(p, f);
  // acq_rel: release for the joiner (the entry is free to be reused), acquire for an agent put there.
  const std::uintptr_t before = f->join.exchange(join_ended, mo::acq_rel);
  if (before == join_detached) {
    free_entry(p, f);
  } else if (before >= join_states) {
    fiber_list readied;
    ready_into(reinterpret_cast<agent*>(before & ~join_marks), readied);
    if (fiber* const joiner = readied.pop_front()) make_runnable(m, joiner);
  }
}

// Returns what the join word is to say once all that is the user's is gone.
std::uintptr_t at_end(std::uintptr_t state) noexcept {
  if (state == join_running) return join_closing;
  return state >= join_states && (state & join_timed) != 0 ? state | join_at_end : state;
}

// The last switch of f. Requires: a section, with P p, or null.
template <bool traced>
[[noreturn]] inline void leave_for_good(machine* m, processor* p, fiber* f, std::uintptr_t state,
                                        bool gives_way) noexcept {
  if (p != nullptr && !gives_way && state >= join_states && (state & join_timed) == 0) {
    // If the joiner is parked, it goes next, as it would through runnext, but without the detour through the queue,
    // where the after-action would put it when the next fiber has been picked. Only this fiber can ready it.
    auto* const joiner = reinterpret_cast<agent*>(state);
    if (joiner->what == agent::kind::fiber && joiner->word.peek() == park_word::parked &&
        !static_cast<fiber*>(joiner)->in_place && f->thread_locks == 0 && chain_goes_on(p)) {
      static_cast<void>(joiner->word.ready());
      if constexpr (traced) {
        trace::ready(m, static_cast<fiber*>(joiner), trace::woke::parked);
        trace::run(m, static_cast<fiber*>(joiner));
      }
      switch_to(m, f, static_cast<fiber*>(joiner), retire_to_joiner, f, true);
    }
  }
  if (__builtin_expect(f->thread_locks != 0, 0)) {
    m->doomed = true;
    switch_to_native(m, f, retire, f, true);
  }
  fiber* const next = p != nullptr ? pick(m, p) : nullptr;
  if (next != nullptr) {
    if constexpr (traced) trace::run(m, next);
    switch_to(m, f, next, retire, f, true);
  } else {
    switch_to_native(m, f, retire, f, true);
  }
  __builtin_unreachable();
}

[[noreturn]] void end_fiber(fiber* f) noexcept {
  // What is the user's goes first: a joiner that finds `closing` may count on an end within microseconds. If the owner
  // detaches the fiber meanwhile, its result is the user's as well, and may make new locals.
  std::uintptr_t state = f->join.load(mo::acquire);
  std::uintptr_t next_state = state;
  do {
    if (state == join_detached && f->drop_result != nullptr) f->drop_result(f);
    if (f->locals != nullptr) static_cast<fiber_locals*>(f->locals)->end(&f->locals);
    next_state = at_end(state);
  } while (next_state != state && !f->join.compare_exchange_strong(state, next_state, mo::acq_rel, mo::acquire));
  if (__builtin_expect(f->syscall_depth != 0, 0)) end_abandoned_call();
  if (__builtin_expect(f->syscall_depth != 0, 0)) fatal("a fiber ends inside a declared call: exit_syscall is missing");
  machine* const m = f->on;
  enter_runtime(m);
  processor* p = m->my_p();
  bool gives_way = false;
  if (__builtin_expect(m->baton.must_look_before_switch(), 0)) {
    gives_way = m->baton.must_give_way();
    p = give_way(m);
    if (m->baton.is_traced()) {
      trace::record(m, {.what = trace::kind::end, .subject = f->id});
      leave_for_good<true>(m, p, f, state, gives_way);
    }
  }
  leave_for_good<false>(m, p, f, state, gives_way);
}

[[noreturn]] void trampoline(boost::context::detail::transfer_t t) noexcept {
  sanitizer::finish_switch(nullptr);
  machine* const m = arrive(t);
  fiber* const f = m->my_fiber();
  f->fresh.store(false, mo::relaxed);
  if constexpr (!boost_keeps_fp_mode) set_fp_mode(f->fp_mode);
  leave_runtime(m);
  f->start->entry(f, f->closure);
  end_fiber(f);
}

// Takes from the caches of the caller's P. What is not there stays null.
void take_from_caches(std::size_t klass, fiber** f, stack* s, std::uint64_t* id) noexcept {
  const runtime_section section;
  processor* const p = section.p();
  if (p == nullptr) return;
  if (p->next_id == p->last_id) {
    p->next_id = the_scheduler.next_id.fetch_add(id_block, mo::relaxed);
    p->last_id = p->next_id + id_block;
  }
  *id = p->next_id++;
  p->spawns.add();
  if (p->free_fibers != nullptr) {
    *f = p->free_fibers;
    p->free_fibers = (*f)->next;
    --p->free_fiber_count;
  }
  auto& cache = p->stacks[klass];
  if (cache.count > 0) *s = cache.free[--cache.count];
}

// Takes from the depot, many at a time if the caller has a P to keep the rest.
stack take_from_depot(std::size_t klass) noexcept {
  stack batch[limits::stack_batch];
  const bool many = this_machine() != nullptr && stack_class_size(klass) <= limits::stack_cache_bytes_each;
  std::size_t n = stack_pool::instance().acquire(klass, batch, many ? limits::stack_batch : 1);
  if (n == 0) return {};
  const stack first = batch[--n];
  if (n > 0) {
    {
      const runtime_section section;
      if (processor* const p = section.p()) {
        auto& cache = p->stacks[klass];
        while (n > 0 && cache.count < limits::stack_cache) cache.free[cache.count++] = batch[--n];
      }
    }
    if (n > 0) stack_pool::instance().release(batch, n);
  }
  return first;
}

}  // namespace

prepared_fiber prepare_fiber(const fiber_attributes& a, std::size_t closure_size, std::size_t closure_align) noexcept {
  scheduler& sched = the_scheduler;
  if (__builtin_expect(!sched.up.load(mo::acquire), 0)) start(settings{});  // acquire: as in is_running()
  const std::size_t wanted = a.stack_size != 0 ? a.stack_size : sched.stack_size.load(mo::relaxed);
  const std::size_t least = 2 * (closure_size + closure_align);
  const std::size_t klass = a.stack_size == 0 && least <= wanted ? sched.stack_class.load(mo::relaxed)
                                                                 : stack_class_for(std::max(wanted, least));
  if (klass == stack_classes) return {};

  fiber* f = nullptr;
  stack s;
  std::uint64_t id = 0;
  take_from_caches(klass, &f, &s, &id);
  if (f == nullptr) f = allocate_fiber();
  if (f == nullptr) {
    if (s) stack_pool::instance().release(&s, 1);
    return {};
  }
  if (!s) s = take_from_depot(klass);
  if (!s) {
    f->next = nullptr;
    free_fibers(f);
    return {};
  }
  if (id == 0) {  // not on a P: so this may be the exiting thread
    id = sched.next_id.fetch_add(1, mo::relaxed);
    sched.spawned_outside.fetch_add(1, mo::relaxed);
    if (exits_here()) say_frozen("one that is started now never runs");
  }

  f->stack = s;
  f->id = id;
  f->spawner = current_fiber_id();
  f->reason = wait_reason::none;
  f->exceptions = {};
  if constexpr (!boost_keeps_fp_mode) f->fp_mode = fp_mode_now();
  f->syscall_depth = 0;
  f->in_place = false;
  f->is_daemon = false;
  f->fresh.store(true, mo::relaxed);
  f->thread_locks = 0;
  f->drop_result = nullptr;
  f->locals = nullptr;
  f->in_use.store(true, mo::relaxed);
  if (!a.name.empty()) {
    copy_name(a.name, f->name);
    if (trace::on()) trace::name(f);
  }
  f->tsan_fiber = sanitizer::create_tsan_fiber();
  auto sp = reinterpret_cast<std::uintptr_t>(s.top) - std::uintptr_t{f->colour} * 64;
  sp = (sp - closure_size) & ~(std::max<std::uintptr_t>(closure_align, 64) - 1);
  f->closure = reinterpret_cast<void*>(sp);
  f->context = boost::context::detail::make_fcontext(
      f->closure, s.size - static_cast<std::size_t>(s.top - static_cast<std::byte*>(f->closure)), trampoline);
  return {f, f->closure};
}

void release_stack_caches() noexcept {
  const int n = the_scheduler.procs_ever.load(mo::acquire);
  for (int i = 0; i < n; ++i) {
    for (auto& cache : the_scheduler.ps[i].stacks) {
      stack_pool::instance().release(cache.free, cache.count);
      cache.count = 0;
    }
  }
}

void discard_fiber(fiber* f) noexcept {
  sanitizer::destroy_tsan_fiber(f->tsan_fiber);
  f->tsan_fiber = nullptr;
  const stack s = f->stack;
  f->stack = {};
  const runtime_section section;
  give_stack_back(section.p(), s);
  free_entry(section.p(), f);
}

void launch(fiber* f, const fiber_start& start, bool joinable) noexcept {
  f->start = &start;
  f->join.store(joinable ? join_running : join_detached, mo::relaxed);  // the queue publishes it
  machine* const m = this_machine();
  if (__builtin_expect(m == nullptr, 0)) {
    runtime_needed();
    if (trace::on()) trace::spawn(nullptr, f);
    make_runnable(nullptr, f);
    return;
  }
  if (enter_recording(m)) trace::spawn(m, f);
  make_spawned_runnable(m, f);
  leave_runtime(m);
}

void release_fiber(fiber* f) noexcept {
  std::uintptr_t state = join_closing;
  // The fiber is not off its stack yet: its last after-action frees the entry.
  if (f->join.compare_exchange_strong(state, join_detached, mo::acq_rel, mo::acquire)) return;
  const runtime_section section;
  free_entry(section.p(), f);
}

bool detach_fiber(fiber* f) noexcept {
  std::uintptr_t state = join_running;
  return !f->join.compare_exchange_strong(state, join_detached, mo::acq_rel, mo::acquire);
}

void* result_slot(fiber* f) noexcept { return f->result; }
void set_result_dropper(fiber* f, result_dropper drop) noexcept { f->drop_result = drop; }
std::uint64_t id_of(const fiber* f) noexcept { return f->id; }

fiber* current_fiber() noexcept {
  machine* const m = this_machine();
  return m != nullptr ? m->my_fiber() : nullptr;
}

// Reads the thread-local itself: every access to a fiber_local comes through here.
__attribute__((noinline)) void** current_fiber_locals() noexcept {
  machine* const m = the_machine;
  fiber* const f = m != nullptr ? m->my_fiber() : nullptr;
  asm volatile("" ::: "memory");
  return f != nullptr ? &f->locals : nullptr;
}

std::uint64_t current_fiber_id() noexcept {
  const fiber* const f = current_fiber();
  return f != nullptr ? f->id : 0;
}

std::uint32_t processor_here() noexcept {
  if (const machine* const m = this_machine()) {
    // A P is never freed.
    if (const processor* const p = m->my_p()) return p->index;
  }
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(this_thread_agent()) >> 12);
}

void set_current_fiber_name(std::string_view name) noexcept {
  fiber* const f = current_fiber();
  if (f == nullptr) return;
  copy_name(name, f->name);
  if (trace::on()) trace::name(f);
}

}  // namespace baton::sched
