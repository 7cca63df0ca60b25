// For randomised tests.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace baton::test {

// Prints the seed, so that BATON_TEST_SEED can repeat a run, as far as its interleavings allow.
inline std::uint64_t seed_of_this_run() {
  const char* const given = std::getenv("BATON_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("BATON_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace baton::test
