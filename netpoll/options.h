// Types that option structs and setters take, so that they accept any duration and any context.
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/sched/time_limit.h>

#include <concepts>
#include <memory>
#include <utility>

namespace baton::net {

using baton::time_limit;

// What set_context() takes: baton::context, or another type that hands out a cancellation.
template <class Context>
concept cancellation_source = requires(const Context& c) {
  { c.as_cancellation() } -> std::convertible_to<std::shared_ptr<cancellation>>;
};

// The same as a member of an options struct: it converts from a context; the default is none.
class context_option {
 public:
  context_option() noexcept = default;
  template <cancellation_source Context>
  context_option(const Context& c) : value_(c.as_cancellation()) {}  // NOLINT(google-explicit-constructor)
  context_option(std::shared_ptr<cancellation> c) noexcept           // NOLINT(google-explicit-constructor)
      : value_(std::move(c)) {}

  [[nodiscard]] const std::shared_ptr<cancellation>& get() const noexcept { return value_; }

 private:
  std::shared_ptr<cancellation> value_;
};

}  // namespace baton::net
