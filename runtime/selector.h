// baton::selector: a select whose cases come and go at run time.
//
//   baton::selector s;
//   for (const auto& c : clients) s.add(baton::on_receive(c, [&](std::optional<message> m) { … }));
//   for (;;) s.wait();
//
// As select(), but the cases are kept, and used by every wait. By one fiber or thread at a time. The
// function of a case may add and remove cases, its own too, and wait.
#pragma once

#include <baton/runtime/select_cases.h>
#include <baton/sched/durations.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace baton {

class selector {
 public:
  selector() = default;
  selector(const selector&) = delete;
  selector& operator=(const selector&) = delete;

  // Takes the case, with handles of its channel and context, and its value. Returns its index: the
  // number of calls before this one, so indices stay what they are when others are removed. Throws
  // std::bad_alloc.
  // A value to be moved is sent once; after that the case is never ready again. A value to be copied is
  // sent as often as the case is chosen, and so is one of a trivially copyable type.
  // The case of a channel that was closed is ready in every wait from then on: its function should
  // remove it.
  template <detail::select_case Case>
  std::size_t add(Case c) {
    return keep(std::make_shared<detail::owned_case<Case>>(std::move(c)));
  }

  // Does nothing if it is not there any more.
  void remove(std::size_t index) noexcept;

  // (S) Runs exactly one case; returns its index. Allocates nothing.
  std::size_t wait() { return *wait_until_ns(sched::platform::forever_ns); }

  // (S) As wait(), but no longer than that: empty if the time has passed, and nothing was ready.
  template <class Rep, class Period>
  std::optional<std::size_t> wait_for(const std::chrono::duration<Rep, Period>& timeout) {
    return wait_until_ns(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  std::optional<std::size_t> wait_until(const std::chrono::time_point<Clock, Duration>& when) {
    std::optional<std::size_t> chosen;
    detail::until(when, [&](std::int64_t ns) { return (chosen = wait_until_ns(ns)).has_value(); });
    return chosen;
  }

 private:
  struct item {
    std::size_t index;
    std::shared_ptr<detail::any_case> what;  // shared with the wait that runs it, in case it removes itself
  };

  std::size_t keep(std::shared_ptr<detail::any_case> c);
  std::optional<std::size_t> wait_until_ns(std::int64_t deadline_ns);

  std::size_t next_index_ = 0;
  std::vector<item> items_;  // by index
  // A wait's memory, at least as much as there are items.
  std::vector<detail::select_entry> entries_;
  std::vector<detail::select_link> links_;
  std::vector<detail::channel_core*> locks_;
  std::vector<std::uint32_t> order_;
};

}  // namespace baton
