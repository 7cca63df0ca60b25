// Public API: baton::selector, a select whose cases are added and removed at run time.
//
//   baton::selector s;
//   for (const auto& c : clients) s.add(baton::on_receive(c, [&](std::optional<message> m) { … }));
//   for (;;) s.wait();
//
// It works as select() does, but keeps its cases, and every wait uses them. One fiber or thread may use it at a time.
// The function of a case may add and remove cases, its own too, and wait.
//
// A selector suits very many cases, one for each client, say. The cost of a wait depends on what has happened since the
// last one, not on the number of cases: each case to which something has happened is checked once. add() and remove()
// cost the same however many cases there are (for timeouts: the logarithm of their number). A case takes some 300
// bytes, beside its function and element. Between the waits cases stay registered with their channels. A sender or
// receiver there tells the selector, which costs the sender or receiver about as much as a lock, once for each wait.
#pragma once

#include <baton/runtime/detail/select_cases.h>
#include <baton/runtime/detail/selector_core.h>
#include <baton/sched/durations.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace baton {

class selector {
 public:
  selector() = default;
  selector(const selector&) = delete;
  selector& operator=(const selector&) = delete;

  // Takes over the case, with handles of its channel and context, and its value. Returns its index, which is the number
  // of calls before this one, so indices do not change when other cases are removed. Throws std::bad_alloc.
  //
  // A value that is moved is sent once; after that the case is never ready again. A value that is copied is sent each
  // time the case is chosen; so is a value of a trivially copyable type.
  //
  // The case of a channel that was closed is ready in every wait from then on: its function should remove it.
  template <class Case>
  std::size_t add(Case c) {
    if constexpr (detail::select_case<Case>) {
      return core_.add(std::make_shared<detail::owned_case<Case>>(std::move(c)));
    } else {
      static_assert(detail::never<Case>, "a selector takes a case: what on_receive(), on_send() and their like return");
      return 0;
    }
  }

  // Removes the case. Does nothing if it has been removed before.
  void remove(std::size_t index) noexcept { core_.remove(index); }

  // Runs exactly one case and returns its index. Allocates nothing. Switches.
  std::size_t wait() { return *core_.wait(sched::platform::forever_ns); }

  // As wait(), but wait no longer than the given time. Return empty if it has passed and nothing was ready. Switch.
  template <class Rep, class Period>
  std::optional<std::size_t> wait_for(const std::chrono::duration<Rep, Period>& timeout) {
    return core_.wait(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  std::optional<std::size_t> wait_until(const std::chrono::time_point<Clock, Duration>& when) {
    std::optional<std::size_t> chosen;
    std::int64_t began_ns = 0;
    detail::until(when, [&](std::int64_t ns) { return (chosen = core_.wait(ns, began_ns)).has_value(); });
    return chosen;
  }

 private:
  detail::selector_core core_;
};

}  // namespace baton
