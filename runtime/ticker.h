// baton::ticker: a channel into which the time comes again and again.
//
//   baton::ticker every_second(1s);
//   for (auto now : every_second.ticks()) { … }       // until the channel is closed, so: for ever
//
// Ticks are one period apart, counted from the start: they do not drift. Who is slow misses ticks: at
// most one waits in the channel, later ones are dropped, and after a pause the next comes at its
// regular time; they never bunch. stop(), or the end of the ticker, takes a waiting tick back, but does
// not close the channel.
//
// No member waits or switches. stop(), reset() and ticks() may be called by several fibers and threads
// at once.
#pragma once

#include <baton/runtime/channel.h>
#include <baton/sched/durations.h>

#include <chrono>
#include <cstdint>
#include <utility>

namespace baton {

namespace detail {
class ticker_state;
}

class [[nodiscard]] ticker {
 public:
  using clock = std::chrono::steady_clock;
  using time_point = clock::time_point;

  // Aborts if the period is not positive. Throws std::bad_alloc.
  template <class Rep, class Period>
  explicit ticker(const std::chrono::duration<Rep, Period>& period) : ticker(detail::saturated_ns(period)) {}

  ticker(ticker&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  ticker& operator=(ticker&& other) noexcept {
    if (this != &other) {
      drop();
      state_ = std::exchange(other.state_, nullptr);
    }
    return *this;
  }
  ~ticker() { drop(); }

  // Always the same channel. Of a ticker that was moved from: one into which nothing comes.
  [[nodiscard]] channel<time_point> ticks() const;

  // No more ticks.
  void stop() noexcept;

  // Goes on, with that period; the first tick one period from now. Throws std::bad_alloc, and is
  // stopped then. Misuse, which aborts: a ticker that was moved from.
  template <class Rep, class Period>
  void reset(const std::chrono::duration<Rep, Period>& period) {
    reset_ns(detail::saturated_ns(period));
  }

 private:
  explicit ticker(std::int64_t period_ns);
  void drop() noexcept;
  void reset_ns(std::int64_t period_ns);

  detail::ticker_state* state_;
};

}  // namespace baton
