// Public API: what a proxy does between two streams.
//
//   auto upstream = baton::net::dial("10.0.0.7:80", {.ctx = ctx});
//   if (!upstream.ok()) return upstream.status();
//   absl::StatusOr<baton::relayed> moved = baton::relay(client, *upstream);
//
// The bytes do not pass through the process where the kernel can move them (see copy() in io.h).
#pragma once

#include <baton/runtime/fiber.h>
#include <baton/runtime/io.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/status.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <chrono>
#include <cstdint>
#include <utility>

namespace baton {

// Bytes that were passed on.
struct relayed {
  std::uint64_t forth = 0;  // from the first stream to the second
  std::uint64_t back = 0;
};

namespace detail {

template <class A, class B>
class relay_run {
 public:
  relay_run(A& a, B& b) noexcept : a_(a), b_(b) {}

  absl::StatusOr<relayed> run() {
    auto back = spawn([this] { pass_on(a_, b_, moved_.back); });
    pass_on(b_, a_, moved_.forth);
    back.join();
    if (failed_.load(sched::platform::mo::relaxed)) return error_;
    return moved_;
  }

 private:
  template <class To, class From>
  void pass_on(To& to, From& from, std::uint64_t& count) {
    const auto copied = copy(to, from);
    absl::Status end = copied.status();
    count = copied.ok() ? static_cast<std::uint64_t>(*copied) : written_of(end);
    if (end.ok()) end = to.close_write();
    if (end.ok()) return;
    // The other direction fails when its streams close. Its error is only the consequence.
    if (!failed_.exchange(true, sched::platform::mo::relaxed)) error_ = std::move(end);
    cut(a_);
    cut(b_);
  }
  // A stream whose rest is lost must not look as if it had ended in order.
  template <class Stream>
  static void cut(Stream& s) {
    if constexpr (requires { s.set_linger(std::chrono::seconds(0)); }) (void)s.set_linger(std::chrono::seconds(0));
    s.close();
  }

  A& a_;
  B& b_;
  relayed moved_;
  sched::platform::atomic<bool> failed_{false};  // run() reads error_ after the join
  absl::Status error_;
};

}  // namespace detail

// Switches. Passes the bytes of each stream on to the other one, until both have ended. Returns how many there were.
// The end of one is passed on at once (close_write), while the other direction goes on. An error of one stream (a
// reset, a deadline, its context) cuts both off: TCP streams are reset, so that no peer takes a part of the data for
// all of it. Then both are closed. Set deadlines and contexts of the streams to bound a relay.
template <class A, class B>
absl::StatusOr<relayed> relay(A& a, B& b) {
  return detail::relay_run<A, B>(a, b).run();
}

}  // namespace baton
