// What the example programs share as programs: strict reading of arguments, and messages for failures.
#pragma once

#include <baton/baton.h>

#include <absl/status/status.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <utility>

namespace examples {

// Reads a decimal number. Returns false if the text as a whole is not a number, or the number is out of the range.
inline bool read_number(const char* text, long low, long high, long& value) {
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  return error == std::errc() && stop == end && value >= low && value <= high;
}

// Returns true if there are at most `most` arguments, and none is a flag: these programs have no flags.
inline bool are_operands(int argc, char** argv, int most) {
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] == '-') return false;
  }
  return argc - 1 <= most;
}

// Prints the usage. Returns the exit code for wrong arguments.
inline int misused(const char* usage) {
  std::fprintf(stderr, "usage: %s\n", usage);
  return 2;
}

// Prints why the program failed. Returns the exit code for a failure: 1.
inline int failed(const char* program, const absl::Status& why) {
  std::fprintf(stderr, "%s: %s\n", program, why.ToString(absl::StatusToStringMode::kWithNoExtraData).c_str());
  return 1;
}

// Calls baton::run(). If an exception ends the main fiber, prints it and returns exit code 1.
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
