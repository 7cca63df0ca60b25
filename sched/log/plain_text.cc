// One pass over the text, character by character. A character is copied or escaped as a whole, and only if it fits as a
// whole. So the result is never cut within a character or within an escape.
#include <baton/sched/log/plain_text.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace baton::sched {

namespace {

struct character {
  std::size_t bytes;   // at least 1
  std::uint32_t code;  // meaningful if valid
  bool valid;
};

// Returns the length of the character that this byte begins, or 0 if it begins none.
std::size_t length_by_lead(unsigned char lead) noexcept {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

bool continues(char c) noexcept { return (static_cast<unsigned char>(c) & 0xc0U) == 0x80; }

character first_of(std::string_view text) noexcept {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t n = length_by_lead(lead);
  if (n == 1) return {1, lead, true};
  if (n == 0 || n > text.size()) return {1, lead, false};
  std::uint32_t code = lead & (0x7fU >> n);
  for (std::size_t i = 1; i < n; ++i) {
    if (!continues(text[i])) return {1, lead, false};
    code = code << 6U | (static_cast<unsigned char>(text[i]) & 0x3fU);
  }
  constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x1'0000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < least[n] || code > 0x10'ffff || surrogate) return {1, lead, false};
  return {n, code, true};
}

bool changes_the_display(std::uint32_t code) noexcept {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x61c || code == 0x200e || code == 0x200f ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

std::size_t escape(const character& c, char (&to)[16]) noexcept {
  int n = 0;
  if (c.valid && c.code == '\n') {
    n = std::snprintf(to, sizeof to, "\\n");
  } else if (c.valid && c.code == '\r') {
    n = std::snprintf(to, sizeof to, "\\r");
  } else if (c.valid && c.code == '\t') {
    n = std::snprintf(to, sizeof to, "\\t");
  } else if (c.code < 0x100 && (!c.valid || c.code < 0x80)) {
    n = std::snprintf(to, sizeof to, "\\x%02x", c.code);
  } else {
    n = std::snprintf(to, sizeof to, "\\u{%x}", c.code);
  }
  return static_cast<std::size_t>(n);
}

std::string_view c_string(const char (&name)[limits::fiber_name_max]) noexcept {
  return {name, ::strnlen(name, sizeof name)};
}

}  // namespace

std::size_t whole_characters(std::string_view text, std::size_t n) noexcept {
  if (n >= text.size()) return text.size();
  // The last lead byte before n, at most three back.
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, n); ++back) {
    const std::size_t at = n - back;
    if (continues(text[at])) continue;
    const character c = first_of(text.substr(at));
    return c.valid && c.bytes > back ? at : n;
  }
  return n;
}

std::size_t make_plain(std::string_view text, std::span<char> out, quoting q) noexcept {
  if (out.empty()) return 0;
  std::size_t used = 0;
  while (!text.empty()) {
    const character c = first_of(text);
    char escaped[16];
    const char* from = text.data();
    std::size_t n = c.bytes;
    if (!c.valid || changes_the_display(c.code)) {
      n = escape(c, escaped);
      from = escaped;
    } else if (q == quoting::yes && (c.code == '"' || c.code == '\\')) {
      escaped[0] = '\\';
      escaped[1] = static_cast<char>(c.code);
      n = 2;
      from = escaped;
    }
    if (used + n >= out.size()) break;
    std::memcpy(out.data() + used, from, n);
    used += n;
    text.remove_prefix(c.bytes);
  }
  out[used] = '\0';
  return used;
}

std::size_t quote_name(const char (&name)[limits::fiber_name_max], std::span<char> out) noexcept {
  char plain[4 * limits::fiber_name_max];
  make_plain(c_string(name), plain, quoting::yes);
  const int n = std::snprintf(out.data(), out.size(), "\"%s\"", plain);
  return n > 0 ? std::min(static_cast<std::size_t>(n), out.size() - 1) : 0;
}

std::size_t label_fiber(std::uint64_t id, const char (&name)[limits::fiber_name_max], std::span<char> out) noexcept {
  char quoted[4 * limits::fiber_name_max + 3] = "";
  if (name[0] != '\0') quote_name(name, quoted);
  const int n = std::snprintf(out.data(), out.size(), "fiber %llu%s%s", static_cast<unsigned long long>(id),
                              quoted[0] != '\0' ? " " : "", quoted);
  return n > 0 ? std::min(static_cast<std::size_t>(n), out.size() - 1) : 0;
}

void copy_name(std::string_view name, char (&to)[limits::fiber_name_max]) noexcept {
  const std::size_t n = whole_characters(name, limits::fiber_name_max - 1);
  std::memcpy(to, name.data(), n);
  to[n] = '\0';
}

}  // namespace baton::sched
