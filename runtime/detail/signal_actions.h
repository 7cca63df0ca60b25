// The handler of os_signals, and which signals have it. Internal.
#pragma once

#include <cstdint>

namespace baton::detail {

using signal_set = std::uint64_t;  // bit n - 1 for signal n

inline constexpr int signals_max = 64;

constexpr signal_set bit_of(int signal) noexcept { return signal_set{1} << (signal - 1); }

template <class F>
void for_each_signal(signal_set signals, F&& f) {
  for (int s = 1; s <= signals_max; ++s) {
    if ((signals & bit_of(s)) != 0) f(s);
  }
}

// There is one such object. Its owner's lock guards it; the static functions need no lock.
class signal_actions {
 public:
  // From now on handlers wake the reader of this eventfd. Returns false if they wake another one already.
  static bool wake_by(int event_fd) noexcept;
  // Does what the handler does.
  static void note(int signal) noexcept;
  // Returns those of the signals that the handler has taken, and forgets them.
  [[nodiscard]] static signal_set take_arrived(signal_set signals) noexcept;

  // Set the handler, or the action "ignore". They remember the former action, if it is not one of these. Abort if there
  // is no such signal.
  void take(int signal) noexcept { set(signal, caught_); }
  void ignore(int signal) noexcept { set(signal, ignored_); }
  // Restores the former actions.
  void restore(signal_set signals) noexcept;

  [[nodiscard]] signal_set caught() const noexcept { return caught_; }
  [[nodiscard]] signal_set changed() const noexcept { return caught_ | ignored_; }

 private:
  void set(int signal, signal_set& state) noexcept;
  void put_back(int signal) const noexcept;

  signal_set caught_ = 0;
  signal_set ignored_ = 0;
  bool sigpipe_before_start_ = false;  // SIGPIPE's former action is from before the runtime's start
};

}  // namespace baton::detail
