// Makes untrusted text safe to show on terminals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace examples {

// Takes one UTF-8 character from the front of the text. Requires: the text is not empty. Returns 0 if there is no valid
// character; one byte was taken then.
inline std::uint32_t take_character(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : '\0'); };
  const std::size_t size = byte(0) < 0x80 ? 1 : byte(0) < 0xc2 ? 0 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : 4;
  std::uint32_t c = size == 1 ? byte(0) : byte(0) & (0x7fU >> size);
  bool good = size > 0 && byte(0) < 0xf5;
  for (std::size_t i = 1; i < size; ++i) {
    good = good && (byte(i) & 0xc0) == 0x80;
    c = c << 6 | (byte(i) & 0x3fU);
  }
  // Not in the shortest form, a surrogate, or beyond Unicode.
  if ((size == 3 && c < 0x800) || (size == 4 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c < 0xe000)) {
    good = false;
  }
  text.remove_prefix(good ? size : 1);
  return good ? c : 0;
}

// Returns true for a character that moves the cursor, starts an escape, changes the direction of writing, or is
// invisible.
inline bool is_control(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
         c >= 0xe0000;
}

// Returns the text without such characters and without invalid UTF-8: at most `longest` bytes, cut between characters.
inline std::string printable(std::string_view text, std::size_t longest) {
  std::string kept;
  while (!text.empty()) {
    const std::string_view rest = text;
    const std::uint32_t c = take_character(text);
    if (is_control(c)) continue;
    const std::size_t size = rest.size() - text.size();
    if (kept.size() + size > longest) break;
    kept.append(rest, 0, size);
  }
  return kept;
}

}  // namespace examples
