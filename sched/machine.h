// M: an OS thread that runs fibers while it holds a P. It is type-stable: the next thread reuses the object of a thread
// that ended.
//
// A runtime section lies between enter_runtime() and leave_runtime(). P-local state is touched only there. No user code
// runs there: no constructor, move or destructor of the user's types, no callback, no allocation, no logging, no thread
// creation. Sections do not nest.
#pragma once

#include <baton/sched/baton_word.h>
#include <baton/sched/counter.h>
#include <baton/sched/fiber.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/platform/thread_state.h>
#include <baton/sched/processor.h>
#include <baton/sched/trace/trace.h>

#include <cstdint>

namespace baton::sched {

struct machine;
class call_site;

// See switch.h.
using after_action = void (*)(machine* m, void* arg) noexcept;

struct alignas(64) machine {
  // ---- this M's own lines ----
  baton_word baton;
  // The P it holds, or null. Only this M writes it, in a section. A revoker reads it while it judges a visit, and it
  // cannot change during the visit.
  alignas(64) platform::atomic<processor*> p{nullptr};
  platform::atomic<fiber*> current{nullptr};  // null on the native context; other threads read it for reports
  exception_state* exceptions = nullptr;      // this thread's __cxa_get_globals()
  void* native = nullptr;                     // the native context while a fiber runs
  // Belongs to the switch that is under way, for the side that arrives.
  void** save_to = nullptr;  // where to store the context that was left
  after_action action = nullptr;
  void* action_arg = nullptr;
  bool spinning = false;  // counted in scheduler::spinning
  // The declared call that its fiber is inside of (declared_call.cc).
  // The site that learns from the call; null: no site does. The monitor reads it, and knows by the visit whether it
  // belongs to this call.
  platform::atomic<call_site*> call{nullptr};
  std::uint64_t call_began = 0;           // ticks; 0: not timed, or no call
  bool call_handed_over = false;          // at entry; meaningful if timed
  const void* foreign_frame = nullptr;    // the call is a foreign one: the frame that began it
  bool polling = false;                   // is the M that sleeps in the poller
  bool queued_idle = false;               // went to the idle list, and has not been woken yet
  bool expects_p = false;                 // gave its P to a fiber in place; another may come soon
  bool doomed = false;                    // its thread ends: a fiber ended while it was locked to the thread
  platform::atomic<std::int32_t> tid{0};  // the thread's, once it runs
  std::uint32_t index = 0;
  platform::atomic<trace::ring*> trace{nullptr};  // made when recording first begins; never freed
  platform::thread_handle thread{};               // belongs to the monitor, then to the thread that joins it

  // ---- how an M that waits is given a P: a binary semaphore, and what came with it ----
  alignas(64) platform::atomic<std::uint32_t> wake_word{0};
  processor* handed = nullptr;  // written before wake_word, read after it
  bool handed_spinning = false;

  // ---- guarded by the scheduler's lock ----
  machine* next_idle = nullptr;
  machine* prev_idle = nullptr;
  bool on_idle_list = false;

  // ---- the monitor's, while the fiber goes on without its P (rescue.cc) ----
  machine* next_watched = nullptr;
  bool watched = false;
  platform::cpu_mark watched_since;  // when its use of the CPU was last checked

  // ---- sanitizers: the native context ----
  void* asan_fake_stack = nullptr;
  void* stack_bottom = nullptr;
  std::size_t stack_size = 0;
  void* tsan_fiber = nullptr;

  [[nodiscard]] processor* my_p() const noexcept { return p.load(mo::relaxed); }
  [[nodiscard]] fiber* my_fiber() const noexcept { return current.load(mo::relaxed); }
};

// Returns the calling thread's M, or null on a thread that is no M. It is never inlined, and it is a barrier for the
// compiler: a fiber may be on another thread after each switch, and the address of a thread_local, once computed, would
// otherwise be kept across the switch.
[[nodiscard]] machine* this_machine() noexcept;
void set_this_machine(machine* m) noexcept;
// Returns the agent that stands in for the calling thread where it waits as a plain thread.
[[nodiscard]] agent* this_thread_agent() noexcept;

namespace detail {
// The slow path of enter: finds out whether the P is still there. Requires: a section.
void handle_notice(machine* m) noexcept;
// The same for a notice that has been read.
void handle_notice(machine* m, std::uint32_t notice) noexcept;
}  // namespace detail

// Begins a section on the calling thread. The caller knows its M.
inline void enter_runtime(machine* m) noexcept {
  if (!m->baton.enter()) detail::handle_notice(m);
}

// Begins a section on the calling thread. Returns null on a thread that is no M. Otherwise m->my_p() is the P from here
// on, or null if the M has lost it.
[[nodiscard]] inline machine* enter_runtime() noexcept {
  machine* const m = this_machine();
  if (m == nullptr) return nullptr;
  enter_runtime(m);
  return m;
}

// Begins a section, if the M may still touch its P: not if exit() has stopped the fibers, or in the child of a fork.
// Then it returns false, the M is not in a section, and the fiber goes on where `otherwise` says.
[[nodiscard]] inline bool enter_unless_stopped(machine* m, place otherwise) noexcept {
  if (m->baton.enter()) return true;
  const std::uint32_t notice = m->baton.notice();
  if ((notice & (baton_word::dead | baton_word::frozen)) != 0) {
    m->baton.leave(otherwise);
    return false;
  }
  detail::handle_notice(m, notice);
  return true;
}

// Ends a section: the fiber goes on in user code, or in the syscall that it is inside of.
inline void leave_runtime(machine* m) noexcept {
  const fiber* const f = m->my_fiber();
  m->baton.leave(__builtin_expect(f->syscall_depth != 0, 0) ? place::syscall : place::user);
}

// Begins a section. Returns true if m records events.
[[nodiscard]] inline bool enter_recording(machine* m) noexcept {
  if (m->baton.enter()) return false;
  detail::handle_notice(m);
  return m->baton.is_traced();
}

// In a section of m: m has no P any more. The P that it had belongs to the caller.
inline void forget_p(machine* m, trace::left why) noexcept {
  if (trace::on()) trace::record(m, {.what = trace::kind::p_left, .detail = static_cast<std::uint8_t>(why)});
  m->baton.release_p();
  m->p.store(nullptr, mo::relaxed);
}

// A section as an object, for calls that never switch. m is null on a plain thread.
class runtime_section {
 public:
  runtime_section() noexcept : m_(enter_runtime()) {}
  ~runtime_section() {
    if (m_ != nullptr) leave_runtime(m_);
  }
  runtime_section(const runtime_section&) = delete;
  runtime_section& operator=(const runtime_section&) = delete;
  [[nodiscard]] machine* m() const noexcept { return m_; }
  // Returns the P that may be touched until the end of the section, or null.
  [[nodiscard]] processor* p() const noexcept { return m_ != nullptr ? m_->my_p() : nullptr; }

 private:
  machine* m_;
};

}  // namespace baton::sched
