// A program outside the repository, built against an installed baton.
#include <baton/baton.h>

#include <cstdio>

static_assert(BATON_VERSION >= 200);

int main() {
  std::puts(BATON_VERSION_STRING);
  return baton::run([] {
    baton::channel<int> numbers(4);
    auto sum = baton::spawn([=] {
      int total = 0;
      while (auto n = numbers.receive()) total += *n;
      return total;
    });
    for (int i = 1; i <= 10; ++i) numbers.send(i);
    numbers.close();
    const int total = sum.join();
    std::printf("%d\n", total);
    return total == 55 ? 0 : 1;
  });
}
