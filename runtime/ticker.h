// Public API: baton::ticker, which sends the time to a channel again and again.
//
//   baton::ticker every_second(1s);
//   for (auto now : every_second.ticks()) { … }       // until the channel is closed, that is for ever
//
// Ticks are one period apart, counted from the start: they do not drift. A slow receiver misses ticks: at most one
// waits in the channel, and later ones are dropped. After a pause the next tick comes at its regular time; ticks never
// bunch. stop(), or the end of the ticker, takes a waiting tick back, but does not close the channel.
//
// No member waits or switches. Several fibers and threads may call stop(), reset() and ticks() at once.
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

  // Returns always the same channel. Returns a channel into which nothing comes if the ticker was moved from.
  [[nodiscard]] channel<time_point> ticks() const;

  // Ends the ticks.
  void stop() noexcept;

  // Starts the ticks again with that period; the first comes one period from now. Throws std::bad_alloc; the ticker is
  // stopped then. Aborts if the ticker was moved from (misuse).
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
