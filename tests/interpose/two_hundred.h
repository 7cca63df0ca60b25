// 200 fibers in a library's blocking call at once, while a fiber that wakes every millisecond shows that others run.
#pragma once

#include "heartbeat.h"
#include "held_server.h"

#include <baton/runtime/fiber.h>

#include <functional>
#include <vector>

namespace baton_test {

constexpr int two_hundred = 200;

// Switches. Runs call(i) in 200 fibers. When wait_until_blocked() returns, the calls wait; after some more beats
// release() lets them return.
inline void call_from_two_hundred(const std::function<void(int)>& call, const std::function<void()>& wait_until_blocked,
                                  const std::function<void()>& release) {
  const heartbeat others;
  std::vector<baton::fiber<void>> fibers;
  for (int i = 0; i < two_hundred; ++i) fibers.push_back(baton::spawn([&call, i] { call(i); }));
  wait_until_blocked();
  others.wait_for(10);
  release();
  for (auto& f : fibers) f.join();
}

// The calls wait for that server's answers.
inline void call_from_two_hundred(const std::function<void(int)>& call, held_server& server) {
  call_from_two_hundred(
      call, [&] { server.wait_until_held(); }, [&] { server.release(); });
}

}  // namespace baton_test
