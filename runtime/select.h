// select: waits for several things at once, and does exactly one of them.
//
//   baton::select(
//       baton::on_receive(requests, [&](std::optional<request> r) { … }),   // empty: closed and drained
//       baton::on_send(results, std::move(next), [&](bool sent) { … }),     // false: closed
//       baton::on_done(ctx, [&] { … }),
//       baton::on_timeout(1s, [&] { … }));
//
// Of the cases that are ready it chooses one, each with the same probability. If none is, it waits for
// the first that becomes so: it blocks a fiber, or a plain thread. With otherwise() it does not wait, but
// may switch: it lets others run if the fiber's time slice is over.
// The function of the chosen case is called when everything else is over; it may wait itself, use
// the same channels, and throw: the exception leaves select().
//
//   case          is ready when                                              its function gets
//   on_receive    there is an element, or a sender waits, or it is closed    std::optional<T>; empty: closed
//   on_send       there is room, or a receiver waits, or it is closed        bool sent; false: closed
//   on_done       the context is done                                        nothing
//   on_timeout    the time has passed and nothing else is ready              nothing
//   otherwise     nothing else is ready                                      nothing
//
// A channel may occur in several cases, also in sends and receives: a select never meets itself. Without
// a case that can become ready, select() waits for ever.
//
// What a case is made from (channel, value, context) is referred to, not copied, unless it is a temporary
// channel or context. So it must live, and stay, until select() has returned; a value given as a
// temporary lives to the end of the statement. A selector (selector.h) keeps its cases, and owns what
// they need.
#pragma once

#include <baton/runtime/select_cases.h>
#include <baton/sched/durations.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace baton {

template <class T, class F>
[[nodiscard]] auto on_receive(const channel<T>& c, F f) {
  return detail::receive_case<T, F>(detail::channel_reference(c), std::move(f));
}
template <class T, class F>
[[nodiscard]] auto on_receive(channel<T>&& c, F f) {
  return detail::receive_case<T, F>(detail::channel_reference(std::move(c)), std::move(f));
}

// `v` is moved from only if this case is chosen, and the channel not closed.
template <class T, class F>
[[nodiscard]] auto on_send(const channel<T>& c, std::type_identity_t<T>&& v, F f) {
  return detail::send_case<T, F>(detail::channel_reference(c), v, std::move(f));
}
template <class T, class F>
[[nodiscard]] auto on_send(channel<T>&& c, std::type_identity_t<T>&& v, F f) {
  return detail::send_case<T, F>(detail::channel_reference(std::move(c)), v, std::move(f));
}
// A copy of `v` is sent. It is made, by the caller and without a lock, when the case can be chosen at
// once, or select() has to wait; not if another case is ready or `otherwise` is chosen.
template <class T, class F>
[[nodiscard]] auto on_send(const channel<T>& c, const std::type_identity_t<T>& v, F f) {
  return detail::send_copy_case<T, F>(detail::channel_reference(c), v, std::move(f));
}
template <class T, class F>
[[nodiscard]] auto on_send(channel<T>&& c, const std::type_identity_t<T>& v, F f) {
  return detail::send_copy_case<T, F>(detail::channel_reference(std::move(c)), v, std::move(f));
}

// The time counts from the start of each select() that the case is used in.
template <class Rep, class Period, class F>
[[nodiscard]] auto on_timeout(const std::chrono::duration<Rep, Period>& d, F f) {
  return detail::timeout_case<F>(detail::saturated_ns(d), std::move(f));
}
template <class Clock, class Duration, class F>
[[nodiscard]] auto on_timeout(const std::chrono::time_point<Clock, Duration>& when, F f) {
  return detail::deadline_case<Clock, Duration, F>(when, std::move(f));
}

template <class F>
[[nodiscard]] auto on_done(const context& ctx, F f) {
  return detail::done_case<F>(ctx, std::move(f));
}
template <class F>
[[nodiscard]] auto on_done(context&& ctx, F f) {
  return detail::done_case<F>(std::move(ctx), std::move(f));
}

template <class F>
[[nodiscard]] auto otherwise(F f) {
  return detail::otherwise_case<F>(std::move(f));
}

// `c` if enabled, else a case that is never ready, but keeps its place in the count.
template <detail::select_case Case>
[[nodiscard]] auto when(bool enabled, Case c) {
  return detail::when_case<Case>(enabled, std::move(c));
}

// (S) Runs exactly one case; returns its index among all arguments. Allocates nothing. A case may be an
// object that is used again, one select() after the other.
template <detail::select_case... Cases>
std::size_t select(Cases&&... cases) {
  constexpr std::size_t n = sizeof...(Cases);
  constexpr std::size_t room = n == 0 ? 1 : n;
  std::array<detail::select_entry, room> entries;
  std::array<detail::select_link, room> links;
  std::array<detail::channel_core*, room> locks;
  std::array<std::uint32_t, room> order;
  std::size_t at = 0;
  (cases.describe(entries[at++]), ...);
  const detail::select_result chosen =
      detail::run_select({entries.data(), links.data(), locks.data(), order.data(), n});
  at = 0;
  static_cast<void>(((at++ == chosen.index && (cases.run(chosen.ok), true)) || ...));
  return chosen.index;
}

}  // namespace baton
