// stop_context(): a std::stop_callback that belongs to the context which it cancels.
//
// The callback has no handle of the context: the token would keep the context alive. It tries to get a hold. A context
// without holds is being destroyed, and the destructor of the callback, which is a part of that, waits until the
// callback has ended on another thread. If the callback gives back the last hold, it destroys itself;
// std::stop_callback allows that, on the thread that requests the stop.
#include <baton/runtime/context.h>
#include <baton/runtime/detail/context_state.h>

#include <absl/status/status.h>

#include <memory>
#include <stop_token>
#include <utility>

namespace baton {

namespace {

class stop_source final : public detail::context_source {
 public:
  stop_source(const std::stop_token& token, detail::context_state& ctx)
      : callback_(token, cancel{&ctx, absl::CancelledError("a stop was requested")}) {}

 private:
  struct cancel {
    void operator()() const noexcept {
      detail::context_state* const s = ctx;  // let_go() may destroy *this
      if (!s->try_hold()) return;
      s->cancel(cause);
      detail::context_state::let_go(s);
    }
    detail::context_state* ctx;
    absl::Status cause;  // made beforehand: a request needs no memory
  };
  std::stop_callback<cancel> callback_;
};

}  // namespace

context stop_context(const std::stop_token& token, const context& parent) {
  cancellable_context ctx = with_cancel(parent);
  auto* const state = static_cast<detail::context_state*>(ctx.as_cancellation().get());
  state->set_source(std::make_unique<stop_source>(token, *state));
  return ctx;
}

}  // namespace baton
