// A program that holds baton and no wrappers: they are preloaded, or they are not. 200 fibers of one P wait in read().
// Without rescues, one read() that is not declared stops the program for good.
#include "two_hundred.h"

#include <baton/baton.h>

#include <unistd.h>
#include <array>
#include <atomic>
#include <cstdio>
#include <string>

int main() {
  ::alarm(60);
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return 2;
  baton::options options;
  options.procs = 1;
  options.rescue = false;
  return baton::run(
      [&] {
        std::atomic<int> begun{0};
        std::atomic<int> got{0};
        const auto call = [&](int) {
          char c = 0;
          ++begun;
          if (::read(ends[0], &c, 1) == 1) ++got;
        };
        const auto wait = [&] {
          while (begun < baton_test::two_hundred) baton::this_fiber::yield();
        };
        const auto release = [&] {
          const std::string bytes(baton_test::two_hundred, 'b');
          if (::write(ends[1], bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) ::_exit(2);
        };
        baton_test::call_from_two_hundred(call, wait, release);
        std::printf("%d fibers got a byte\n", got.load());
        return got == baton_test::two_hundred ? 0 : 1;
      },
      options);
}
