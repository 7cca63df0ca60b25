#include <baton/runtime/context.h>

#include <baton/runtime/detail/context_state.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/waiter.h>

#include <utility>

namespace baton {

namespace {

// Its address stands for "no context". There is no context_state at it.
constexpr char no_context = 0;

detail::context_state* no_state() noexcept {
  return reinterpret_cast<detail::context_state*>(const_cast<char*>(&no_context));
}

[[noreturn]] void no_context_for(const char* what) noexcept {
  sched::fatal("%s of a cancellable_context that was default-constructed or moved from, and not assigned to", what);
}

}  // namespace

std::shared_ptr<detail::context_state> cancellable_context::none() noexcept {
  return {std::shared_ptr<void>(), no_state()};
}

detail::context_state* context::state(const char* what) const noexcept {
  detail::context_state* const s = state_.get();
  if (s == no_state()) [[unlikely]]
    no_context_for(what);
  return s;
}

bool context::is_done() const noexcept {
  const detail::context_state* const s = state("is_done");
  return s != nullptr && s->is_done();
}

absl::Status context::error() const {
  const detail::context_state* const s = state("error");
  return s == nullptr ? absl::OkStatus() : s->error();
}

std::optional<context::time_point> context::deadline() const noexcept {
  const detail::context_state* const s = state("deadline");
  if (s == nullptr || s->deadline_ns() == sched::platform::forever_ns) return {};
  return time_point(std::chrono::nanoseconds(s->deadline_ns()));
}

void context::wait_done() const { static_cast<void>(wait_done_until_ns(sched::platform::forever_ns)); }

bool context::wait_done_until_ns(std::int64_t deadline_ns) const {
  if (state("wait_done") != nullptr) {
    // The handle may be assigned to during the wait.
    const std::shared_ptr<detail::context_state> keep = state_;
    return keep->wait(deadline_ns);
  }
  sched::waiter w;
  w.prepare(sched::wait_reason::context);
  static_cast<void>(w.wait(deadline_ns));
  return false;
}

std::shared_ptr<net::cancellation> context::as_cancellation() const {
  static_cast<void>(state("as_cancellation"));
  return state_;
}

cancellable_context detail::derive_context(const context& parent, std::int64_t deadline_ns) {
  return cancellable_context(detail::context_state::make(parent.state("a context below that"), deadline_ns));
}

void cancellable_context::cancel(absl::Status cause) const noexcept {
  // Null: the object was moved from as a context.
  if (state("cancel") == nullptr) [[unlikely]]
    no_context_for("cancel");
  // The subscribers that cancel() calls may drop the last handle.
  const std::shared_ptr<detail::context_state> keep = state_;
  keep->cancel(std::move(cause));
}

cancellable_context with_cancel(const context& parent) {
  return detail::derive_context(parent, sched::platform::forever_ns);
}

}  // namespace baton
