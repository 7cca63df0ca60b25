// Public API: baton::on_cancel, which calls a function when a context is done.
//
//   const baton::on_cancel hang_up(ctx, [&] { line.close(); });
//   …                                  // hang_up ends here: from now on only this function uses line
//
// The function runs at most once, in a fiber of its own, as soon as the context is cancelled or its deadline has
// passed. If that has happened already, it runs at once. If there is no memory for the fiber then, it runs as soon as
// there is. The function may wait. An exception that escapes it ends the process, as with go().
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/runtime/context.h>
#include <baton/runtime/detail/timer_worker.h>
#include <baton/runtime/event.h>
#include <baton/sched/platform/atomic.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace baton {

namespace detail {

// Shared by the on_cancel and the fiber. See on_cancel.cc.
class cancel_call : public net::cancellation::node,
                    public std::enable_shared_from_this<cancel_call>,
                    private work_item {
 public:
  virtual ~cancel_call() = default;
  void watch(const context& ctx);
  // Afterwards the function does not run, and has been destroyed. Switches.
  void end();

 private:
  void cancelled() noexcept override;
  void run() noexcept override;
  void start();
  virtual void call() = 0;  // calls the function, and destroys it

  std::shared_ptr<net::cancellation> source_;
  bool started_ = false;  // written before unsubscribe() returns
  sched::platform::atomic<std::uint64_t> caller_{0};
  event ended_;
  std::shared_ptr<cancel_call> waits_for_memory_;  // keeps *this alive while the timer_worker has it
};

template <class F>
class cancel_function final : public cancel_call {
 public:
  template <class Given>
  explicit cancel_function(Given&& f) : f_(std::in_place, std::forward<Given>(f)) {}

 private:
  void call() override {
    std::invoke(std::move(*f_));
    f_.reset();
  }
  std::optional<F> f_;
};

}  // namespace detail

class [[nodiscard]] on_cancel {
 public:
  // Throws std::bad_alloc.
  template <class F>
  on_cancel(const context& ctx, F&& f) {
    if constexpr (std::is_invocable_v<std::decay_t<F>>) {
      call_ = std::make_shared<detail::cancel_function<std::decay_t<F>>>(std::forward<F>(f));
      call_->watch(ctx);
    } else {
      static_assert(std::is_invocable_v<std::decay_t<F>>, "the function of on_cancel takes no arguments");
    }
  }
  on_cancel(const on_cancel&) = delete;
  on_cancel& operator=(const on_cancel&) = delete;

  // If the context is not done, the function is never called. If it is being called, or about to be, the destructor
  // waits for its end, unless the function itself destroys this object. Switches.
  ~on_cancel() { call_->end(); }

 private:
  std::shared_ptr<detail::cancel_call> call_;
};

}  // namespace baton
