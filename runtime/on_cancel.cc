// A subscription to the context (netpoll/cancellation.h). Its cancelled() must be brief, and therefore starts a fiber.
//
//   watch    subscribe. If the context is done already: start the fiber here.
//   end      unsubscribe, which waits for a cancelled() under way: after it either the fiber has been
//            started, or it never will be. If it has been started: wait until it has ended. If there was no memory for
//            the fiber: the timer_worker, which watch() has started, makes it later.
//
// The fiber destroys the function before it says that it has ended: what the function refers to may no longer exist
// after the on_cancel is destroyed. The fiber shares the rest with the on_cancel. The function may destroy the
// on_cancel itself; the fiber's id tells that.
#include <baton/runtime/on_cancel.h>

#include <baton/runtime/fiber.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/spawn.h>

#include <new>
#include <utility>

namespace baton::detail {

namespace mo = sched::platform::mo;

void cancel_call::watch(const context& ctx) {
  source_ = ctx.as_cancellation();
  if (source_ == nullptr) return;
  timer_worker::get().start();
  if (source_->subscribe(*this)) return;
  source_ = nullptr;
  start();
  started_ = true;
}

void cancel_call::end() {
  if (source_ != nullptr) source_->unsubscribe(*this);
  if (!started_) return;
  // relaxed: the only question is whether it is this fiber's own.
  const std::uint64_t self = sched::current_fiber_id();
  if (self != 0 && caller_.load(mo::relaxed) == self) return;
  // The fiber shares the ownership of what is left.
  if (!ended_.is_set() && !sched::destructor_may_wait("an on_cancel leaves its function as it is")) return;
  ended_.wait();
}

void cancel_call::cancelled() noexcept {
  started_ = true;  // now, or as soon as there is memory
  try {
    start();
  } catch (const std::bad_alloc&) {
    waits_for_memory_ = shared_from_this();
    timer_worker::get().try_later(this);
  }
}

void cancel_call::run() noexcept {
  std::shared_ptr<cancel_call> keep = std::move(waits_for_memory_);
  try {
    start();
  } catch (const std::bad_alloc&) {
    waits_for_memory_ = std::move(keep);
    timer_worker::get().try_later(this);
  }
}

void cancel_call::start() {
  go([self = shared_from_this()] {
    sched::platform::set_default_fp_mode();  // not that of the agent that cancels
    self->caller_.store(sched::current_fiber_id(), mo::relaxed);
    self->call();
    self->ended_.set();
  });
}

}  // namespace baton::detail
