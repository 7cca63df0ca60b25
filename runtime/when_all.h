// Public API: when_all() and when_any(), which wait for several futures by one, like those of the Concurrency TS.
//
//   auto both = baton::when_all(baton::async(f), baton::async(g));
//   auto [a, b] = both.get();                        // two futures that are ready; switches
//   auto first = baton::when_any(futures).get();     // of a vector; first.futures[first.index] is ready
//
// The futures go into the result, in their order: a future<T> is moved, a shared_future<T> is copied or moved. The
// result becomes ready when all of them, or the first of them, are ready. It has no exception of its own: each future
// still has its value or exception. Futures that are dropped with the result are dropped as usual: the last of a
// function that async() runs waits for its end.
//
// A deferred function that no agent has begun is begun by the call itself, in order: by when_all() each of them, by
// when_any() one after the other until a future is ready. The call switches then, and otherwise never does.
//
// Throw future_error with no_state for a future without a state, or std::bad_alloc. The futures are as before then.
#pragma once

#include <baton/runtime/detail/combined_state.h>
#include <baton/runtime/future.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace baton {

// What when_any() finds. `index` is that of a future that is ready. Of several that are ready at the call it is the
// first. Without any futures it is SIZE_MAX.
template <class Sequence>
struct when_any_result {
  std::size_t index;
  Sequence futures;
};

namespace detail {

template <class T>
inline constexpr bool is_future = false;
template <class T>
inline constexpr bool is_future<future<T>> = true;
template <class T>
inline constexpr bool is_future<shared_future<T>> = true;

template <class F>
concept future_argument = is_future<std::remove_cvref_t<F>> && std::is_constructible_v<std::remove_cvref_t<F>, F>;
template <class I>
concept future_iterator = std::forward_iterator<I> && is_future<std::iter_value_t<I>>;
template <class R>
using range_iterator = decltype(std::begin(std::declval<R&>()));
template <class R>
concept future_range = requires(R& r) {
  std::begin(r);
  std::end(r);
}
&&future_iterator<range_iterator<R>>;

template <class Result, class Sequence>
Result as_result(Sequence&& s) noexcept {
  if constexpr (std::is_same_v<Result, Sequence>) {
    return std::move(s);
  } else {
    return Result{combination::none, std::move(s)};
  }
}
template <class Sequence>
Sequence& sequence_of(Sequence& s) noexcept {
  return s;
}
template <class Sequence>
Sequence& sequence_of(when_any_result<Sequence>& r) noexcept {
  return r.futures;
}

template <class Result>
future<Result> begin_combined(std::unique_ptr<combined_state<Result>> s) noexcept {
  combined_state<Result>* const state = s.release();
  future<Result> f = future_access::make<Result>(state_handle<future_state<Result>>(state));
  state->begin();
  return f;
}

template <class Result, class... Futures>
future<Result> combine(combination::of what, Futures&&... futures) {
  using sequence = std::tuple<std::remove_cvref_t<Futures>...>;
  (static_cast<void>(future_access::core(futures)), ...);  // throws if one has no state
  auto s = std::make_unique<combined_state<Result>>(what, sizeof...(futures));
  Result& kept = s->keep(as_result<Result>(sequence(std::forward<Futures>(futures)...)));
  std::apply([&](auto&... f) { (s->add(future_access::core(f)), ...); }, sequence_of(kept));
  return begin_combined(std::move(s));
}

template <class Result, class Iterator>
future<Result> combine_range(combination::of what, Iterator first, Iterator last) {
  std::vector<std::iter_value_t<Iterator>> sequence;
  std::size_t n = 0;
  for (Iterator i = first; i != last; ++i, ++n) static_cast<void>(future_access::core(*i));
  sequence.reserve(n);
  auto s = std::make_unique<combined_state<Result>>(what, n);
  for (; first != last; ++first) {
    if constexpr (std::is_copy_constructible_v<std::iter_value_t<Iterator>>) {
      sequence.push_back(*first);
    } else {
      sequence.push_back(std::move(*first));
    }
  }
  Result& kept = s->keep(as_result<Result>(std::move(sequence)));
  for (const auto& f : sequence_of(kept)) s->add(future_access::core(f));
  return begin_combined(std::move(s));
}

template <class... Futures>
using future_tuple = std::tuple<std::remove_cvref_t<Futures>...>;
template <class Iterator>
using future_vector = std::vector<std::iter_value_t<Iterator>>;

}  // namespace detail

// Returns a future of a tuple (for a pack) or a vector (for a range, whose elements are moved from if they are
// future<T>) of all the futures.
template <detail::future_argument... Futures>
[[nodiscard]] future<detail::future_tuple<Futures...>> when_all(Futures&&... futures) {
  return detail::combine<detail::future_tuple<Futures...>>(detail::combination::of::all,
                                                           std::forward<Futures>(futures)...);
}
template <detail::future_iterator Iterator>
[[nodiscard]] future<detail::future_vector<Iterator>> when_all(Iterator first, Iterator last) {
  return detail::combine_range<detail::future_vector<Iterator>>(detail::combination::of::all, first, last);
}
template <detail::future_range Range>
[[nodiscard]] auto when_all(Range&& range) {
  return baton::when_all(std::begin(range), std::end(range));
}

// The same, with the index of the first that was ready.
template <detail::future_argument... Futures>
[[nodiscard]] future<when_any_result<detail::future_tuple<Futures...>>> when_any(Futures&&... futures) {
  return detail::combine<when_any_result<detail::future_tuple<Futures...>>>(detail::combination::of::any,
                                                                            std::forward<Futures>(futures)...);
}
template <detail::future_iterator Iterator>
[[nodiscard]] future<when_any_result<detail::future_vector<Iterator>>> when_any(Iterator first, Iterator last) {
  return detail::combine_range<when_any_result<detail::future_vector<Iterator>>>(detail::combination::of::any, first,
                                                                                 last);
}
template <detail::future_range Range>
[[nodiscard]] auto when_any(Range&& range) {
  return baton::when_any(std::begin(range), std::end(range));
}

}  // namespace baton
