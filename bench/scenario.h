// What every scenario needs: clocks, arguments of the form key=value, and raw values printed as JSON.
// Nothing is averaged here: who runs the program (bench/in_turns.py) keeps what
// is printed and takes the percentiles.
#pragma once

#include <time.h>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

inline constexpr std::int64_t us = 1'000;
inline constexpr std::int64_t ms = 1'000'000;

inline std::int64_t read_clock_ns(clockid_t clock) noexcept {
  timespec t{};
  clock_gettime(clock, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}
inline std::int64_t now_ns() noexcept { return read_clock_ns(CLOCK_MONOTONIC); }

// Blocks the thread, whatever the scheduler thinks of that.
inline void block_ns(std::int64_t ns) noexcept {
  timespec t{ns / 1'000'000'000, ns % 1'000'000'000};
  while (nanosleep(&t, &t) != 0 && errno == EINTR) {
  }
}

[[noreturn]] inline void die(const char* why) {
  std::fprintf(stderr, "%s\n", why);
  std::exit(1);
}

class arguments {
 public:
  arguments(int count, char** words) {
    for (int i = 0; i < count; ++i) {
      const std::string_view word(words[i]);
      const std::size_t equals = word.find('=');
      if (equals == std::string_view::npos) die("arguments are key=value");
      values_.emplace(word.substr(0, equals), word.substr(equals + 1));
    }
  }
  [[nodiscard]] std::string text(const std::string& key, const char* otherwise = "") const {
    const auto found = values_.find(key);
    return found == values_.end() ? otherwise : found->second;
  }
  [[nodiscard]] int number(const std::string& key, int otherwise) const {
    const auto found = values_.find(key);
    return found == values_.end() ? otherwise : std::atoi(found->second.c_str());
  }

 private:
  std::map<std::string, std::string> values_;
};

class report {
 public:
  void add(const std::string& name, double value) { values_[name].push_back(value); }
  void print() const {
    const char* between = "{";
    for (const auto& [name, list] : values_) {
      std::printf("%s\"%s\": [", between, name.c_str());
      for (std::size_t i = 0; i < list.size(); ++i) std::printf("%s%.3f", i == 0 ? "" : ", ", list[i]);
      std::printf("]");
      between = ", ";
    }
    std::printf("}\n");
  }

 private:
  std::map<std::string, std::vector<double>> values_;
};

struct scenario {
  const char* name;
  void (*run)(const arguments&, report&);
};

// A main(): PROGRAM SCENARIO [key=value ...] runs one scenario once and prints its raw values as a JSON object
// of lists.
template <std::size_t N>
int run_scenario(const scenario (&scenarios)[N], int argc, char** argv) {
  for (const scenario& s : scenarios) {
    if (argc < 2 || std::string_view(argv[1]) != s.name) continue;
    report out;
    s.run(arguments(argc - 2, argv + 2), out);
    out.print();
    return 0;
  }
  std::fprintf(stderr, "usage: %s SCENARIO [key=value ...]; scenarios:", argv[0]);
  for (const scenario& s : scenarios) std::fprintf(stderr, " %s", s.name);
  std::fprintf(stderr, "\n");
  return 2;
}

inline double in_us(std::int64_t ns) noexcept { return static_cast<double>(ns) / 1e3; }
inline double in_ms(std::int64_t ns) noexcept { return static_cast<double>(ns) / 1e6; }

}  // namespace bench
