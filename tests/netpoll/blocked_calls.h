// Tests of what must end each call that waits: close(), deadlines, contexts.
#pragma once

#include "net_test_support.h"

#include <baton/runtime/context.h>

#include <fcntl.h>
#include <atomic>
#include <string>
#include <vector>

namespace baton::net::test {

template <class Socket>
void until_it_waits(Socket& s, poll_side side) {
  until([&] { return test_access::io(s).has_waiter(side); });
}

// make() returns a struct whose member `socket` blocks call(socket), which returns a status.
template <class Make, class Call>
void expect_close_ends(poll_side side, Make make, Call call) {
  auto s = make();
  std::vector<fiber<absl::Status>> all;
  for (int i = 0; i < 3; ++i) all.push_back(spawn([&] { return call(s.socket); }));  // one waits, two queue
  until_it_waits(s.socket, side);
  const int number = s.socket.native_handle();
  s.socket.close();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  for (auto& f : all) {
    const absl::Status end = f.join();
    EXPECT_EQ(end.code(), absl::StatusCode::kCancelled) << end;
    EXPECT_NE(end.message().find(": closed"), absl::string_view::npos) << end;
  }
  EXPECT_EQ(call(s.socket).code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(s.socket.is_open());
  s.socket.close();  // again: does nothing
}

template <class Make, class Call>
void expect_deadlines_end(poll_side side, Make make, Call call) {
  auto s = make();
  const auto begin = clock::now();
  s.socket.set_deadline(begin + 10ms);
  absl::Status end = call(s.socket);
  EXPECT_EQ(end.code(), absl::StatusCode::kDeadlineExceeded) << end;
  EXPECT_GE(clock::now() - begin, 10ms);
  for (const auto past : {clock::now() - 1s, clock::time_point(), clock::time_point::min()}) {
    s.socket.set_deadline(past);
    EXPECT_EQ(call(s.socket).code(), absl::StatusCode::kDeadlineExceeded);
  }
  s.socket.set_timeout(0s);
  EXPECT_EQ(call(s.socket).code(), absl::StatusCode::kDeadlineExceeded);
  s.socket.set_timeout(1ns);
  EXPECT_EQ(call(s.socket).code(), absl::StatusCode::kDeadlineExceeded);
  for (const bool to_past : {false, true}) {  // changed while it waits
    s.socket.set_deadline(clock::time_point::max());
    auto waits = spawn([&] { return call(s.socket); });
    until_it_waits(s.socket, side);
    s.socket.set_deadline(clock::now() + 1h);
    s.socket.set_deadline(clock::now() + (to_past ? -1s : 1ms));
    EXPECT_EQ(waits.join().code(), absl::StatusCode::kDeadlineExceeded);
  }
}

template <class Make, class Call>
void expect_contexts_end(poll_side side, Make make, Call call) {
  auto s = make();
  const cancellable_context ctx = with_cancel(context::background());
  s.socket.set_context(ctx);
  auto waits = spawn([&] { return call(s.socket); });
  until_it_waits(s.socket, side);
  ctx.cancel(absl::AbortedError("the test says so"));
  absl::Status end = waits.join();
  EXPECT_EQ(end.code(), absl::StatusCode::kAborted) << end;
  EXPECT_NE(end.message().find(": the test says so"), absl::string_view::npos) << end;
  EXPECT_EQ(call(s.socket).code(), absl::StatusCode::kAborted);
  s.socket.set_context(context::background());
  s.socket.set_timeout(1ms);
  EXPECT_EQ(call(s.socket).code(), absl::StatusCode::kDeadlineExceeded);
}

// Destruction, and several closes at once, against calls that begin. A lost wake-up is a hang.
template <class Make, class Call>
void expect_close_races_well(int rounds, Make make, Call call) {
  for (int i = 0; i < rounds; ++i) {
    auto s = make();
    std::vector<fiber<void>> all;
    for (int k = 0; k < 3; ++k) {
      all.push_back(spawn([&] {
        const absl::Status end = call(s.socket);
        EXPECT_EQ(end.code(), absl::StatusCode::kCancelled) << end;
      }));
    }
    for (int k = i % 7; k > 0; --k) this_fiber::yield();
    auto second = spawn([&] { s.socket.close(); });
    s.socket.close();
    EXPECT_EQ(s.socket.native_handle(), -1);
    second.join();
    for (auto& f : all) f.join();
  }
}

template <class Make, class Call>
void expect_everything_ends(poll_side side, Make make, Call call) {
  expect_close_ends(side, make, call);
  expect_deadlines_end(side, make, call);
  expect_contexts_end(side, make, call);
  expect_close_races_well(50, make, call);
}

}  // namespace baton::net::test
