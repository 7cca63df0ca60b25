// Public API: baton::select, which waits for several things at once, and does exactly one of them.
//
//   baton::select(
//       baton::on_receive(requests, [&](std::optional<request> r) { … }),   // empty: closed and drained
//       baton::on_send(results, std::move(next), [&](bool sent) { … }),     // false: closed
//       baton::on_done(ctx, [&] { … }),
//       baton::on_timeout(1s, [&] { … }));
//
// select() chooses one of the ready cases, each with the same probability. If none is ready, it waits until a case
// becomes ready: a fiber parks, and a plain thread sleeps. With otherwise() it does not wait, but may
// switch: it lets others run if the fiber's slice is over. select() calls the function of the chosen case when
// everything else is over. The function may wait, use the same channels, and throw; the exception leaves select().
//
//   case          is ready when                                              its function gets
//   on_receive    there is an element, or a sender waits, or it is closed    std::optional<T>; empty: closed
//   on_send       there is room, or a receiver waits, or it is closed        bool sent; false: closed
//   on_done       the context is done                                        nothing
//   on_timeout    the time has passed and nothing else is ready              nothing
//   otherwise     nothing else is ready                                      nothing
//
// A channel may occur in several cases, in sends and in receives: a select never meets itself. Without a case that can
// become ready, select() waits for ever.
//
// A case refers to what it is made from (channel, value, context) and does not copy it, unless it is a temporary
// channel or context. The original must therefore live, and not be moved, until select() has returned. A value given as
// a temporary lives to the end of the statement. A selector (selector.h) keeps its cases, and owns what they need.
#pragma once

#include <baton/runtime/detail/select_cases.h>
#include <baton/sched/durations.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace baton {

// A case refers to the caller's channel, context or value; a temporary channel or context is moved into it.
template <class T, class F>
[[nodiscard]] auto on_receive(const channel<T>& c, F f) {
  return detail::make_receive_case<T>(detail::channel_reference(c), std::move(f));
}
template <class T, class F>
[[nodiscard]] auto on_receive(channel<T>&& c, F f) {
  return detail::make_receive_case<T>(detail::channel_reference(std::move(c)), std::move(f));
}

// Moves from `v` only if this case is chosen and the channel is not closed.
template <class T, class F>
[[nodiscard]] auto on_send(const channel<T>& c, std::type_identity_t<T>&& v, F f) {
  return detail::make_send_case<detail::send_case, T>(detail::channel_reference(c), v, std::move(f));
}
template <class T, class F>
[[nodiscard]] auto on_send(channel<T>&& c, std::type_identity_t<T>&& v, F f) {
  return detail::make_send_case<detail::send_case, T>(detail::channel_reference(std::move(c)), v, std::move(f));
}
// Sends a copy of `v`. The caller makes it, without a lock, when the case can be chosen at once or select() has to
// wait. No copy is made if another case is ready or `otherwise` is chosen.
template <class T, class F>
[[nodiscard]] auto on_send(const channel<T>& c, const std::type_identity_t<T>& v, F f) {
  return detail::make_send_case<detail::send_copy_case, T>(detail::channel_reference(c), v, std::move(f));
}
template <class T, class F>
[[nodiscard]] auto on_send(channel<T>&& c, const std::type_identity_t<T>& v, F f) {
  return detail::make_send_case<detail::send_copy_case, T>(detail::channel_reference(std::move(c)), v, std::move(f));
}

// The time counts from the start of each select() that uses the case.
template <class Rep, class Period, class F>
[[nodiscard]] auto on_timeout(const std::chrono::duration<Rep, Period>& d, F f) {
  return detail::make_timeout_case(detail::saturated_ns(d), std::move(f));
}
template <class Clock, class Duration, class F>
[[nodiscard]] auto on_timeout(const std::chrono::time_point<Clock, Duration>& when, F f) {
  return detail::make_timeout_case(when, std::move(f));
}

template <class F>
[[nodiscard]] auto on_done(const context& ctx, F f) {
  return detail::make_done_case(ctx, std::move(f));
}
template <class F>
[[nodiscard]] auto on_done(context&& ctx, F f) {
  return detail::make_done_case(std::move(ctx), std::move(f));
}

template <class F>
[[nodiscard]] auto otherwise(F f) {
  if constexpr (std::is_invocable_v<F&>) {
    return detail::otherwise_case<F>(std::move(f));
  } else {
    static_assert(detail::never<F>, "the function of otherwise() takes no arguments");
    return detail::no_case();
  }
}

// Returns `c` if enabled, else a case that is never ready but keeps its place in the count.
template <class Case>
[[nodiscard]] auto when(bool enabled, Case c) {
  if constexpr (detail::select_case<Case>) {
    return detail::when_case<Case>(enabled, std::move(c));
  } else {
    static_assert(detail::never<Case>, "when() takes a case: what on_receive(), on_send() and their like return");
    return detail::no_case();
  }
}

namespace detail {

// Returns select_frame::none if the time has passed and nothing was ready. began_ns: as in the select_frame.
template <class... Cases>
std::size_t select_until_ns(std::int64_t deadline_ns, std::int64_t& began_ns, Cases&... cases) {
  constexpr std::size_t n = sizeof...(Cases);
  if constexpr ((select_case<Cases> && ...)) {
    constexpr std::size_t room = n == 0 ? 1 : n;
    std::array<select_entry, room> entries;
    std::array<select_link, room> links;
    std::array<channel_core*, room> locks;
    std::array<std::uint32_t, room> order;
    std::size_t at = 0;
    (cases.describe(entries[at++]), ...);
    const select_frame frame{entries.data(), links.data(), locks.data(), order.data(), n, deadline_ns, began_ns};
    const select_result chosen = run_select(frame);
    began_ns = frame.began_ns;
    at = 0;
    static_cast<void>(((at++ == chosen.index && (cases.run(chosen.ok), true)) || ...));
    return chosen.index;
  } else {
    static_assert(never<Cases...>, "select() takes cases: what on_receive(), on_send() and their like return");
    return n;
  }
}

inline std::optional<std::size_t> index_or_nothing(std::size_t index) noexcept {
  return index != select_frame::none ? std::optional(index) : std::nullopt;
}

}  // namespace detail

// Runs exactly one case and returns its index among all arguments. Allocates nothing. A case may be an object that
// several selects use, one after the other. Switches.
template <class... Cases>
std::size_t select(Cases&&... cases) {
  std::int64_t began_ns = 0;
  return detail::select_until_ns(sched::platform::forever_ns, began_ns, cases...);
}

// These functions work like select(), but wait at most the given time. They return empty, and have called no function,
// if that time passed and no case was ready. If there are on_timeout() cases, too, the earliest time counts. Switch.
template <class Rep, class Period, class... Cases>
std::optional<std::size_t> select_for(const std::chrono::duration<Rep, Period>& timeout, Cases&&... cases) {
  std::int64_t began_ns = 0;
  return detail::index_or_nothing(detail::select_until_ns(detail::deadline_after(timeout), began_ns, cases...));
}
template <class Clock, class Duration, class... Cases>
std::optional<std::size_t> select_until(const std::chrono::time_point<Clock, Duration>& when, Cases&&... cases) {
  std::size_t chosen = detail::select_frame::none;
  std::int64_t began_ns = 0;
  detail::until(when, [&](std::int64_t deadline_ns) {
    chosen = detail::select_until_ns(deadline_ns, began_ns, cases...);
    return chosen != detail::select_frame::none;
  });
  return detail::index_or_nothing(chosen);
}

}  // namespace baton
