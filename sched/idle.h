// The idle Ps and the idle Ms: lists under the scheduler's lock, and what the two files of the idle protocol use of
// each other. Internal to idle.cc, which describes the protocol, idle_sleep.cc and scatter.cc.
#pragma once

#include <baton/sched/scheduler.h>

namespace baton::sched {

// Moves the fibers of p to the global queue.
void drain(processor* p) noexcept;

// ---- lists, under the lock ----

inline void push_idle_p(scheduler& s, processor* p) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  p->m.store(nullptr, mo::relaxed);
  p->idle.store(true, mo::relaxed);
  // A P beyond the present number of procs is retired. Its timers are still looked after (idle is true), but no M takes
  // the P, so it must not keep any fiber.
  if (p->index >= static_cast<std::uint32_t>(s.procs.load(mo::relaxed))) {
    drain(p);
    return;
  }
  p->next_idle = s.idle_p_list;
  s.idle_p_list = p;
  s.idle_ps.fetch_add(1, mo::relaxed);
}

inline processor* pop_idle_p(scheduler& s) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  processor* const p = s.idle_p_list;
  if (p == nullptr) return nullptr;
  s.idle_p_list = p->next_idle;
  p->next_idle = nullptr;
  p->idle.store(false, mo::relaxed);
  ++s.ps_taken;
  s.idle_ps.fetch_sub(1, mo::relaxed);
  return p;
}

inline void push_idle_m(scheduler& s, machine* m) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  m->prev_idle = nullptr;
  m->next_idle = s.idle_m_list;
  if (s.idle_m_list != nullptr) s.idle_m_list->prev_idle = m;
  s.idle_m_list = m;
  m->on_idle_list = true;
  m->queued_idle = true;
  s.threads_idle.store(++s.idle_m_count, mo::relaxed);
}

inline void unlink_idle_m(scheduler& s, machine* m) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  (m->prev_idle != nullptr ? m->prev_idle->next_idle : s.idle_m_list) = m->next_idle;
  if (m->next_idle != nullptr) m->next_idle->prev_idle = m->prev_idle;
  m->next_idle = m->prev_idle = nullptr;
  m->on_idle_list = false;
  s.threads_idle.store(--s.idle_m_count, mo::relaxed);
}

inline machine* pop_idle_m(scheduler& s) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.lock) {
  machine* const m = s.idle_m_list;
  if (m != nullptr) unlink_idle_m(s, m);
  return m;
}

// Wakes the M that sleeps in the poller. If another poller has just replaced that one, wakes the M in the one that is
// installed now.
void wake_poller() noexcept;

}  // namespace baton::sched
