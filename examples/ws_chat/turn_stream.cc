// Stopping. The server moves the read deadline into the past when it drains, after it has set `draining`. A read sets
// its deadline first, and looks at `draining` then. So either it sees that, or the deadline wakes it; then it looks
// again.
#include "turn_stream.h"

#include <absl/cleanup/cleanup.h>

#include <algorithm>
#include <utility>

namespace ws_chat {

namespace {

constexpr auto ending_time = std::chrono::milliseconds(2'000);

}  // namespace

turn_stream::turn_stream(http::upgraded from, std::chrono::milliseconds patience, std::function<bool()> is_stopping)
    : peer_(from.stream),
      received_(std::move(from.received)),
      patience_(patience),
      is_stopping_(std::move(is_stopping)) {}

absl::StatusOr<std::size_t> turn_stream::read(baton::bytes into) {
  if (reads_end_) return absl::CancelledError("read: the stream ends");
  if (received_.empty()) {
    auto n = [this] {
      turn_.unlock();
      const absl::Cleanup back = [this] { turn_.lock(); };
      return receive();
    }();
    if (!n.ok() || *n == 0) return n;
    if (reads_end_) return absl::CancelledError("read: the stream has ended meanwhile");
  }
  const std::size_t n = std::min(into.size(), received_.size());
  received_.copy(reinterpret_cast<char*>(into.data()), n);
  received_.erase(0, n);
  return n;
}

// Only one fiber reads, so `received_` is its own, also without the turn. Beast's memory is not: the fiber that writes
// may close the WebSocket meanwhile.
absl::StatusOr<std::size_t> turn_stream::receive() {
  received_.resize(4096);
  for (;;) {
    set_read_deadline();
    if (!has_stopped_ && is_stopping_()) {
      has_stopped_ = true;
      is_ending_.store(true, std::memory_order_relaxed);
      if (on_stop) on_stop();
      continue;
    }
    const auto n = peer_.read(received_);
    if (absl::IsDeadlineExceeded(n.status()) && !has_stopped_ && is_stopping_()) continue;
    received_.resize(n.ok() ? *n : 0);
    if (n.ok() && *n > 0) heard_.store(true, std::memory_order_relaxed);
    return n;
  }
}

void turn_stream::set_read_deadline() {
  const auto now = std::chrono::steady_clock::now();
  if (is_ending_.load(std::memory_order_relaxed) && !ends_at_) {
    ends_at_ = now + ending_time;
    peer_.set_write_deadline(*ends_at_);  // also of a write that waits already
  }
  peer_.set_read_deadline(ends_at_.value_or(now + patience_));
  if (dropped_.load(std::memory_order_acquire)) drop();  // whose deadline may just have been replaced
}

absl::Status turn_stream::write_v(std::span<const baton::const_bytes> pieces) {
  const bool is_ending = is_ending_.load(std::memory_order_relaxed);
  peer_.set_write_deadline(std::chrono::steady_clock::now() + (is_ending ? ending_time : patience_));
  if (dropped_.load(std::memory_order_acquire)) drop();
  return peer_.write_v(pieces);
}

absl::Status turn_stream::close_write() {
  is_ending_.store(true, std::memory_order_relaxed);
  return peer_.close_write();
}

void turn_stream::linger() {
  static_cast<void>(close_write());
  turn_.unlock();
  const absl::Cleanup back = [this] { turn_.lock(); };
  while (receive().value_or(0) > 0) {
  }
}

void turn_stream::drop() {
  dropped_.store(true, std::memory_order_release);
  peer_.set_deadline(std::chrono::steady_clock::time_point::min());
}

}  // namespace ws_chat
