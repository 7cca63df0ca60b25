// What memcheck would misunderstand if it were not told of the stacks: switches between stacks that lie near each
// other, stacks that are used again, with other closures, and exceptions. Exit code 0: the results are right.
#include <baton/baton.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <vector>

namespace {

// Switches at the bottom of a deep stack. Returns depth + 1.
__attribute__((noinline)) int deep(int depth) {
  std::array<volatile char, 4000> frame;
  for (std::size_t i = 0; i < frame.size(); i += 100) frame[i] = 1;
  if (depth == 0) {
    baton::this_fiber::yield();
    return frame[0];
  }
  return deep(depth - 1) + frame[100];
}

template <std::size_t Bytes>
int with_a_closure_of() {
  std::array<unsigned char, Bytes> ones;
  ones.fill(1);
  auto f = baton::spawn([ones] {
    int sum = 0;
    for (const unsigned char one : ones) sum += one;
    baton::this_fiber::yield();
    return sum;
  });
  return f.join();
}

bool main_fiber() {
  constexpr int fibers = 300;
  constexpr int rounds = 60;
  const baton::channel<int> sums(2);
  std::vector<baton::fiber<int>> all;
  for (int i = 0; i < fibers; ++i) {
    all.push_back(baton::spawn([sums] {
      int sum = 0;
      for (int k = 0; k < rounds; ++k) sum += deep(k % 12) - k % 12;
      sums.send(sum);
      return sum;
    }));
  }
  int received = 0;
  for (int i = 0; i < fibers; ++i) received += sums.receive().value_or(0);
  int joined = 0;
  for (auto& f : all) joined += f.join();
  bool caught = false;
  try {
    baton::spawn([] { throw std::make_unique<int>(1); }).join();
  } catch (const std::unique_ptr<int>&) {
    caught = true;
  }
  const int closures = with_a_closure_of<8>() + with_a_closure_of<2000>() + with_a_closure_of<16>();
  return received == fibers * rounds && joined == received && caught && closures == 2024;
}

}  // namespace

int main() {
  return baton::run([] {
    const bool right = main_fiber();
    if (!right) std::puts("wrong results");
    return right ? 0 : 2;
  });
}
