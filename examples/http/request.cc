#include "http/request.h"

#include "http/text.h"
#include "http/uri.h"

#include <algorithm>
#include <limits>

namespace http {

namespace {

// What the fields say about matters that more than one field line can concern.
struct framing {
  int hosts = 0;
  int content_lengths = 0;
  int transfer_encodings = 0;
  std::string_view content_length, transfer_encoding;
  bool close = false;
  bool keep_alive = false;
  bool expects_more = false;  // something other than 100-continue
};

std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find("\r\n");
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return line;
}

void split_path(std::string_view target, request& r) {
  const std::size_t question = std::min(target.find('?'), target.size());
  r.path = target.substr(0, question);
  r.query = target.substr(std::min(target.size(), question + 1));
}

// Reads the four forms of RFC 9112, section 3.2.
bool read_target(std::string_view target, request& r) {
  const auto is_visible = [](char c) { return c > ' ' && c < 0x7f && c != '#'; };
  if (target.empty() || !std::all_of(target.begin(), target.end(), is_visible)) return false;
  if (r.method == "CONNECT") {
    r.host = target;
    return is_authority(target) && target.find(':', target.find(']') + 1) < target.size() - 1;  // with a port
  }
  if (target == "*" || target.front() == '/') {
    split_path(target, r);
    return target != "*" || r.method == "OPTIONS";
  }
  constexpr std::string_view scheme = "http://";
  if (!equal_ignoring_case(target.substr(0, scheme.size()), scheme)) return false;
  target.remove_prefix(scheme.size());
  r.host = target.substr(0, target.find_first_of("/?"));
  split_path(target.substr(r.host.size()), r);
  if (r.path.empty()) r.path = r.method == "OPTIONS" && r.query.empty() ? "*" : "/";
  return is_authority(r.host);
}

int read_request_line(std::string_view line, request& r) {
  const std::size_t method_end = std::min(line.find(' '), line.size());
  if (!is_token(line.substr(0, method_end))) return 400;
  r.method = line.substr(0, method_end);
  line.remove_prefix(std::min(line.size(), method_end + 1));

  const std::size_t target_end = std::min(line.find(' '), line.size());
  const std::string_view version = line.substr(std::min(line.size(), target_end + 1));
  if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
      !is_digit(version[7])) {
    return 400;
  }
  if (version[5] != '1') return 505;
  r.minor_version = version[7] == '0' ? 0 : 1;  // HTTP/1.9 has to be read as the highest known 1.x
  return read_target(line.substr(0, target_end), r) ? accepted : 400;
}

// Returns false if the field breaks the grammar.
bool look_at(const field& f, request& r, framing& seen) {
  if (equal_ignoring_case(f.name, "Host")) {
    ++seen.hosts;
    if (r.host.empty()) r.host = f.value;
    return is_authority(f.value);
  }
  if (equal_ignoring_case(f.name, "Content-Length")) {
    ++seen.content_lengths;
    seen.content_length = f.value;
  } else if (equal_ignoring_case(f.name, "Transfer-Encoding")) {
    ++seen.transfer_encodings;
    seen.transfer_encoding = f.value;
  } else if (equal_ignoring_case(f.name, "Connection")) {
    for (std::string_view list = f.value; !list.empty();) {
      const std::string_view option = take_element(list);
      seen.close |= equal_ignoring_case(option, "close");
      seen.keep_alive |= equal_ignoring_case(option, "keep-alive");
    }
  } else if (equal_ignoring_case(f.name, "Expect")) {
    for (std::string_view list = f.value; !list.empty();) {
      const std::string_view expectation = take_element(list);
      const bool goes_on = equal_ignoring_case(expectation, "100-continue");
      r.expects_continue |= goes_on;
      seen.expects_more |= !goes_on && !expectation.empty();
    }
  }
  return true;
}

// Reads digits only. A number that does not fit in 64 bits counts as the largest one: no body may be that long.
bool read_length(std::string_view digits, std::uint64_t& length) {
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) return false;
  constexpr std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  length = 0;
  for (const char c : digits) {
    const auto digit = static_cast<std::uint64_t>(c - '0');
    length = length > (max - digit) / 10 ? max : length * 10 + digit;
  }
  return true;
}

// Applies RFC 9112, section 6.3, without what it tolerates.
int read_framing(const framing& seen, request& r) {
  if (seen.hosts > 1 || (seen.hosts == 0 && r.minor_version == 1)) return 400;
  if (seen.transfer_encodings > 0) {
    if (seen.content_lengths > 0 || r.minor_version == 0) return 400;
    r.chunked = seen.transfer_encodings == 1 && equal_ignoring_case(seen.transfer_encoding, "chunked");
    if (r.chunked) return accepted;
    const std::size_t last = seen.transfer_encoding.rfind(',') + 1;  // 0: there is no comma
    return equal_ignoring_case(trimmed(seen.transfer_encoding.substr(last)), "chunked") ? 501 : 400;
  }
  if (seen.content_lengths == 0) return accepted;
  return seen.content_lengths == 1 && read_length(seen.content_length, r.content_length) ? accepted : 400;
}

}  // namespace

int head_finder::find(std::string_view bytes, std::size_t& size) {
  for (;;) {
    const std::size_t feed = bytes.find('\n', searched_);
    const std::size_t end = std::min(feed, bytes.size());
    if (fields_ == 0 && end > request_line_max + 1) return 414;
    if (fields_ != 0 && end - fields_ > fields_max + 1) return 431;
    searched_ = end;
    if (feed == std::string_view::npos) return accepted;
    if (feed == 0 || bytes[feed - 1] != '\r') return 400;  // a bare line feed ends a line for some servers only
    if (feed == line_ + 1) size = feed + 1;
    if (size != 0) return accepted;
    searched_ = line_ = feed + 1;
    if (fields_ == 0) fields_ = line_;
  }
}

bool read_field(std::string_view line, field& f) {
  const std::size_t colon = std::min(line.find(':'), line.size());
  // A name with a space before the colon, or in a line that begins with a space (it would continue the line before), is
  // no token.
  if (colon == line.size() || !is_token(line.substr(0, colon))) return false;
  f = {line.substr(0, colon), trimmed(line.substr(colon + 1))};
  return std::all_of(f.value.begin(), f.value.end(), is_field_char);
}

int read_head(std::string_view head, request& r) {
  if (const int status = read_request_line(take_line(head), r); status != accepted) return status;
  framing seen;
  while (!head.starts_with("\r\n")) {
    field f;
    if (!read_field(take_line(head), f) || !look_at(f, r, seen)) return 400;
    r.fields.push_back(f);
  }
  if (const int status = read_framing(seen, r); status != accepted) return status;
  r.keep_alive = !seen.close && (r.minor_version == 1 || seen.keep_alive);
  if (r.minor_version == 0) {
    r.expects_continue = false;  // HTTP/1.0 knows no expectations
    return accepted;
  }
  return seen.expects_more ? 417 : accepted;
}

}  // namespace http
