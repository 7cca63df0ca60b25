// What the example programs have in common as programs: their arguments are read strictly, and they say why they fail.
#pragma once

#include <baton/baton.h>

#include <absl/status/status.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <utility>

namespace examples {

// Reads a decimal number. False: the text is not one as a whole, or it is out of the range.
inline bool read_number(const char* text, long low, long high, long& value) {
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  return error == std::errc() && stop == end && value >= low && value <= high;
}

// Whether there are at most `most` arguments, and none is a flag: these programs know none.
inline bool are_operands(int argc, char** argv, int most) {
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] == '-') return false;
  }
  return argc - 1 <= most;
}

// The exit code of a program that was called wrongly.
inline int misused(const char* usage) {
  std::fprintf(stderr, "usage: %s\n", usage);
  return 2;
}

// The exit code of a program that could not do what it was called for: 1. Says why.
inline int failed(const char* program, const absl::Status& why) {
  std::fprintf(stderr, "%s: %s\n", program, why.ToString(absl::StatusToStringMode::kWithNoExtraData).c_str());
  return 1;
}

// baton::run() of a program that ends with code 1 and says why when an exception ends its main fiber.
template <class Main>
int run(const char* program, Main&& main, const baton::options& options = {}) {
  try {
    return baton::run(std::forward<Main>(main), options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", program, e.what());
    return 1;
  }
}

}  // namespace examples
