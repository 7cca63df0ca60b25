#include "byte_range.h"

#include "http/text.h"

#include <algorithm>
#include <limits>

namespace static_files {

namespace {

// A number too large for 64 bits counts as the largest: no content is that long.
bool read_digits(std::string_view digits, std::uint64_t& value) {
  constexpr std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  value = 0;
  for (const char c : digits) {
    if (!http::is_digit(c)) return false;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    value = value > (max - digit) / 10 ? max : value * 10 + digit;
  }
  return !digits.empty();
}

}  // namespace

byte_range read_range(std::string_view field, std::uint64_t content_size) {
  constexpr std::string_view unit = "bytes=";
  if (!http::equal_ignoring_case(field.substr(0, unit.size()), unit)) return {};
  field = http::trimmed(field.substr(unit.size()));
  const std::size_t dash = std::min(field.find('-'), field.size());
  if (dash == field.size()) return {};
  const std::string_view from = field.substr(0, dash);
  const std::string_view to = field.substr(dash + 1);
  std::uint64_t first = 0;
  std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
  if (from.empty()) {
    std::uint64_t suffix = 0;
    if (!read_digits(to, suffix)) return {};
    suffix = std::min(suffix, content_size);
    if (suffix == 0) return {.is = byte_range::kind::unsatisfiable};
    return {byte_range::kind::part, content_size - suffix, suffix};
  }
  if (!read_digits(from, first) || (!to.empty() && !read_digits(to, last)) || last < first) return {};
  if (first >= content_size) return {.is = byte_range::kind::unsatisfiable};
  return {byte_range::kind::part, first, std::min(last, content_size - 1) - first + 1};
}

}  // namespace static_files
