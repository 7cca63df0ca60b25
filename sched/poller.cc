// Until a poller is installed, there are no descriptors to wait for, only timers. The M that would sleep in the poller
// sleeps here then. With the real poller installed, no M does any more.
#include <baton/sched/poller.h>

#include <baton/sched/durations.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/scheduler.h>

#include <cstddef>
#include <new>

namespace baton::sched {

namespace {

class timers_only_poller final : public poller {
 public:
  int poll(std::int64_t timeout_ns, fiber_list&) noexcept override {
    if (timeout_ns == 0) return 0;
    const std::int64_t deadline = timeout_ns < 0
                                      ? platform::forever_ns
                                      : baton::detail::deadline_after_ns(platform::less_timer_slack(timeout_ns));
    // acquire: pairs with wake(). A wake() that came before is consumed here, once.
    while (woken_.exchange(0, mo::acquire) == 0) {
      if (!platform::futex_wait(woken_, 0, deadline)) return 0;
    }
    return 1;
  }
  void wake() noexcept override {
    if (woken_.exchange(1, mo::acq_rel) == 0) platform::futex_wake(&woken_, 1);
  }

 private:
  platform::atomic<std::uint32_t> woken_{0};
};

timers_only_poller& first_poller() noexcept {
  // Never destroyed, and not allocated: a start does not fail.
  alignas(timers_only_poller) static std::byte room[sizeof(timers_only_poller)];
  static timers_only_poller* const instance = ::new (room) timers_only_poller;
  return *instance;
}

}  // namespace

void install_poller(poller* p) noexcept {
  if (!is_running()) start(settings{});  // an M has to sleep in it
  poller* const before = the_scheduler.source.exchange(p, mo::seq_cst);
  if (before != nullptr) before->wake();  // its sleeper comes back and sleeps in the new one
  // An M that looked for work, found none and has not chosen a poller yet sleeps in the new one. A wake that was meant
  // for it, and ended before the exchange, went to the old one: so the new one is woken, too. (A wake that ends after
  // the exchange sees it and goes to the new one itself: see wake_poller().)
  p->wake();
}

poller* installed_poller() noexcept {
  poller* const p = the_scheduler.source.load(mo::acquire);
  return p == &first_poller() ? nullptr : p;
}

void install_first_poller() noexcept {
  poller* none = nullptr;
  the_scheduler.source.compare_exchange_strong(none, &first_poller(), mo::acq_rel, mo::acquire);
}

}  // namespace baton::sched
