// The wrappers' way to the scheduler. Linked into the program, they call it directly. The preloaded library does not
// know the program's baton, and there may be none: it calls the functions that baton has given it (sched/interposer.h).
#pragma once

#include <baton/sched/platform/atomic.h>

#ifdef BATON_INTERPOSE_PRELOADED
#include <baton/sched/interposer.h>
#else
#include <baton/sched/call_site.h>
#include <baton/sched/declared_call.h>
#include <baton/sched/this_machine.h>
#endif

namespace baton::interpose {

using sched::call_site;

#ifdef BATON_INTERPOSE_PRELOADED

// Null until a baton attaches itself. acquire: pairs with the release in baton_interpose_attach().
extern constinit sched::platform::atomic<const sched::foreign_calls*> scheduler;

// Returns false on a thread of which it is known at once that it is no M.
[[gnu::always_inline]] inline bool may_be_on_fiber() noexcept {
  return scheduler.load(std::memory_order_acquire) != nullptr;
}
// Requires, all of them: may_be_on_fiber(). They do what declared_call.h says.
inline bool counts() noexcept { return scheduler.load(std::memory_order_acquire)->counts(); }
inline call_site& site_of(const char* name, void* to) noexcept {
  return scheduler.load(std::memory_order_acquire)->site_of(name, to);
}
inline bool blocks(const call_site& site) noexcept { return scheduler.load(std::memory_order_acquire)->blocks(site); }
inline bool begin_declared(call_site& site) noexcept { return scheduler.load(std::memory_order_acquire)->begin(site); }
inline void end_declared() noexcept { scheduler.load(std::memory_order_acquire)->end(); }

#else

// A wrapper reads the thread-local itself (see this_machine.h): nothing inlines a wrapper, and it uses nothing of what
// it has read after the call.
[[gnu::always_inline]] inline bool may_be_on_fiber() noexcept { return sched::the_machine != nullptr; }
inline bool counts() noexcept { return sched::foreign_call_counts(); }
[[gnu::always_inline]] inline call_site& site_of(const char* name, void* to) noexcept {
  return call_site::at(to, name);
}
inline bool blocks(const call_site& site) noexcept { return site.blocks(); }
inline bool begin_declared(call_site& site) noexcept { return sched::begin_foreign_call(site); }
inline void end_declared() noexcept { sched::end_foreign_call(); }

#endif

}  // namespace baton::interpose
