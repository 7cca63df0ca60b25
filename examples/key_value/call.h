// What each command's function gets, and what several commands need.
#pragma once

#include "commands.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

namespace key_value {

inline constexpr std::string_view wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
inline constexpr std::string_view no_integer = "ERR value is not an integer or out of range";
inline constexpr std::string_view bad_syntax = "ERR syntax error";

struct call {
  store& data;
  words all;  // the command's name is first
  const std::int64_t now;
  replies& out;

  [[nodiscard]] std::string_view key() const { return all[1]; }
  [[nodiscard]] words after(std::size_t n) const { return all.subspan(n); }

  // The result of get(): the key's value as a T. `is` is null if there is no value, or if the value has another type.
  // In the second case get() has written the error, and `failed` is true.
  template <class T>
  struct found {
    T* is = nullptr;
    bool failed = false;
  };
  template <class T>
  found<T> get() {
    value* const v = data.find(key(), now);
    if (v == nullptr) return {};
    T* const is = std::get_if<T>(&v->data);
    if (is == nullptr) out.error(wrong_type);
    return {is, is == nullptr};
  }
  template <class T>
  T* get_or_make() {
    const found<T> f = get<T>();
    if (f.is != nullptr || f.failed) return f.is;
    return &data.find_or_make(key(), now).data.template emplace<T>();
  }
  // Removes the list, set or hash if it has become empty.
  template <class T>
  void drop_if_empty(const T& container) {
    if (container.empty()) data.erase(key(), now);
  }
};

// Requires: `word` is in upper case.
inline bool equals_ignoring_case(std::string_view said, std::string_view word) {
  const auto same = [](char a, char b) { return (a >= 'a' && a <= 'z' ? a - 'a' + 'A' : a) == b; };
  return std::equal(said.begin(), said.end(), word.begin(), word.end(), same);
}

inline std::optional<std::int64_t> integer(std::string_view text) {
  std::int64_t n = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return n;
}

// The indexes [first, last], within the size, that a command's two indexes mean; these may count from the end. Empty:
// first > last.
struct range {
  std::int64_t first;
  std::int64_t last;
};
inline std::optional<range> range_of(std::string_view from, std::string_view to, std::size_t size) {
  const auto first = integer(from);
  const auto last = integer(to);
  if (!first || !last) return std::nullopt;
  const auto n = static_cast<std::int64_t>(size);
  const auto place = [n](std::int64_t i) { return i < 0 ? std::max<std::int64_t>(n + i, -1) : i; };
  return range{std::max<std::int64_t>(place(*first), 0), std::min(place(*last), n - 1)};
}

// The point in time after so many units, or nothing if there is no such point.
inline std::optional<std::int64_t> end_after(std::int64_t now_ms, std::int64_t n, std::int64_t unit_ms) {
  std::int64_t ms = 0;
  std::int64_t end = 0;
  if (__builtin_mul_overflow(n, unit_ms, &ms) || __builtin_add_overflow(now_ms, ms, &end)) return std::nullopt;
  return end;
}

// Which words are keys.
enum class keys_at : std::uint8_t { none, first, all, each_second, whole_store };

inline constexpr std::size_t any_number = std::numeric_limits<std::size_t>::max();

struct command {
  std::string_view name;
  std::size_t least;  // words, with the name
  std::size_t most;
  keys_at keys;  // the caller locks their parts before the function runs
  void (*run)(call&);
};

std::span<const command> commands_on_any_value();
std::span<const command> commands_on_strings();
std::span<const command> commands_on_collections();
std::span<const command> commands_on_sorted_sets();

}  // namespace key_value
