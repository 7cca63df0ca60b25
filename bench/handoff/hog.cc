// How late a fiber wakes beside fibers that compute.
//
//   hog hogs=N ms=M stretch_ms=S
//     N fibers compute for M ms of wall time, each yields after every S ms. One more sleeps for 1 ms, again and again,
//     until that time is over. On one P.
//   late times=T procs=P stretch_ms=S
//     T times, a fiber starts another one, which computes for S ms, and then sleeps 1 ms. So the timer belongs to the P
//     that computes next, while the other Ps are idle.
//   prints
//     late_ms    how much later than asked it runs, at each sleep
#include "scenarios.h"

#include <baton/baton.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace handoff {

void hog(const arguments& a, report& out) {
  const std::int64_t length = a.number("ms", 1'000) * ms;
  const std::int64_t stretch = a.number("stretch_ms", 1'000) * ms;
  baton::run(
      [&] {
        const std::int64_t end = now_ns() + length;
        std::vector<baton::fiber<void>> all;
        for (int i = 0; i < a.number("hogs", 1); ++i) {
          all.push_back(baton::spawn([=] {
            for (std::int64_t now = now_ns(); now < end; now = now_ns()) {
              compute_until(std::min(now + stretch, end));
              baton::this_fiber::yield();
            }
          }));
        }
        for (std::int64_t begin = now_ns(); begin < end; begin = now_ns()) {
          baton::this_fiber::sleep_for(std::chrono::milliseconds(1));
          out.add("late_ms", in_ms(now_ns() - begin - 1 * ms));
        }
        for (auto& fiber : all) fiber.join();
      },
      {.procs = 1});
}

void late(const arguments& a, report& out) {
  const std::int64_t stretch = a.number("stretch_ms", 8) * ms;
  baton::run(
      [&] {
        for (int i = 0; i < a.number("times", 300); ++i) {
          auto computes = baton::spawn([=] { compute_until(now_ns() + stretch); });
          const std::int64_t begin = now_ns();
          baton::this_fiber::sleep_for(std::chrono::milliseconds(1));
          out.add("late_ms", in_ms(now_ns() - begin - 1 * ms));
          computes.join();
          // Until the Ps are idle again.
          baton::this_fiber::sleep_for(std::chrono::milliseconds(2));
        }
      },
      {.procs = a.number("procs", 2)});
}

}  // namespace handoff
