#include "http_request.h"

#include <algorithm>
#include <charconv>

namespace bench::http {

namespace {

// What a byte may be part of.
constexpr std::uint8_t token = 1;   // a method, a field's name
constexpr std::uint8_t target = 2;  // a request's target: no blanks, no controls
constexpr std::uint8_t value = 4;   // a field's value: no controls but the tab

constexpr std::array<std::uint8_t, 256> classes = [] {
  std::array<std::uint8_t, 256> table{};
  for (int c = 0x21; c < 0x7f; ++c) table[static_cast<std::size_t>(c)] = target | value;
  for (int c = 0x80; c < 0x100; ++c) table[static_cast<std::size_t>(c)] = target | value;
  table[' '] = table['\t'] = value;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] |= token;
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] |= token;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] |= token;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] |= token;
  return table;
}();

bool same(std::string_view a, std::string_view lower) {
  return a.size() == lower.size() && std::equal(a.begin(), a.end(), lower.begin(), [](char x, char y) {
           return (x >= 'A' && x <= 'Z' ? static_cast<char>(x + ('a' - 'A')) : x) == y;
         });
}

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

class cursor {
 public:
  explicit cursor(std::string_view text) : text_(text) {}

  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
  [[nodiscard]] std::size_t position() const { return at_; }

  std::string_view take(std::uint8_t allowed) {
    const std::size_t begin = at_;
    while (at_ < text_.size() && (classes[static_cast<unsigned char>(text_[at_])] & allowed) != 0) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  // The next byte must be this one: bad if it is another, incomplete if there is none.
  outcome expect(char c) {
    if (at_end()) return outcome::incomplete;
    if (text_[at_] != c) return outcome::bad;
    ++at_;
    return outcome::complete;
  }
  outcome expect(std::string_view word) {
    for (const char c : word) {
      if (const outcome o = expect(c); o != outcome::complete) return o;
    }
    return outcome::complete;
  }
  // A line's end: a bare LF is taken, too.
  outcome line_end() {
    if (!at_end() && text_[at_] == '\r') ++at_;
    return expect('\n');
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

outcome request_line(cursor& c, request* r) {
  r->method = c.take(token);
  if (outcome o = c.expect(' '); o != outcome::complete) return o;
  r->target = c.take(target);
  if (outcome o = c.expect(" HTTP/1."); o != outcome::complete) return o;
  if (r->method.empty() || r->target.empty()) return outcome::bad;
  const std::string_view minor = c.take(token);
  if (minor.empty() && c.at_end()) return outcome::incomplete;
  if (minor != "0" && minor != "1") return outcome::bad;
  r->minor_version = minor == "1" ? 1 : 0;
  return c.line_end();
}

// "Connection: keep-alive, upgrade" and the like.
void connection_options(std::string_view list, request* r) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view option = trimmed(list.substr(0, comma));
    if (same(option, "close")) r->keep_alive = false;
    if (same(option, "keep-alive") && r->minor_version == 0) r->keep_alive = true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

bool understood(const field& f, request* r) {
  if (same(f.name, "connection")) {
    connection_options(f.value, r);
  } else if (same(f.name, "content-length")) {
    const char* const end = f.value.data() + f.value.size();
    const auto [stop, error] = std::from_chars(f.value.data(), end, r->content_length);
    return error == std::errc() && stop == end;
  } else if (same(f.name, "transfer-encoding")) {
    r->transfer_coded = true;
  }
  return true;
}

}  // namespace

outcome parse(std::string_view text, request* r, std::size_t* size) {
  cursor c(text);
  r->field_count = 0;
  r->transfer_coded = false;
  r->content_length = 0;
  if (outcome o = request_line(c, r); o != outcome::complete) return o;
  r->keep_alive = r->minor_version == 1;
  for (;;) {
    field f;
    f.name = c.take(token);
    if (f.name.empty()) {
      const outcome o = c.line_end();
      *size = c.position();
      return o;
    }
    if (outcome o = c.expect(':'); o != outcome::complete) return o;
    f.value = trimmed(c.take(value));
    if (outcome o = c.line_end(); o != outcome::complete) return o;
    if (r->field_count == r->fields.size() || !understood(f, r)) return outcome::bad;
    r->fields[r->field_count++] = f;
  }
}

}  // namespace bench::http
