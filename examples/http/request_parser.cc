#include "http/request_parser.h"

#include "http/target.h"
#include "http/text.h"
#include "http/uri.h"

#include <algorithm>
#include <functional>

namespace http {

namespace beast = boost::beast;

namespace {

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

// Returns true if a version follows the target, whatever it is. Beast has no error of its own for a version
// that it does not speak.
bool has_version(std::string_view head) {
  const std::string_view line = head.substr(0, head.find('\r'));
  const std::size_t target_end = std::min(line.find(' ', line.find(' ') + 1), line.size() - 1);
  const std::string_view version = line.substr(target_end + 1);
  return version.size() == 8 && version.starts_with("HTTP/") && is_digit(version[5]) && version[6] == '.' &&
         is_digit(version[7]);
}

}  // namespace

request_parser::request_parser(request& r, std::uint64_t body_max) : request_(r) {
  header_limit(head_max + 1);
  body_limit(body_max);
}

int request_parser::read_head(std::string_view head) {
  request_.method = head.substr(0, head.find_first_of(" \r"));
  parsed_ = head;
  error_code ec;
  const std::size_t n = put({head.data(), head.size()}, ec);
  if (ec) return status_of(ec, head);
  return n == head.size() ? accepted : 400;
}

int request_parser::take_body(std::string_view& bytes) {
  while (!bytes.empty() && !is_complete()) {
    parsed_ = bytes;
    error_code ec;
    bytes.remove_prefix(put({bytes.data(), bytes.size()}, ec));
    if (ec == beast::http::error::need_more) break;
    if (ec) return status_of(ec, {});
  }
  return accepted;
}

int request_parser::status_of(const error_code& ec, std::string_view parsed) const {
  if (refused_ != accepted) return refused_;
  if (ec == beast::http::error::body_limit) return 413;
  return ec == beast::http::error::bad_version && has_version(parsed) ? 505 : 400;
}

void request_parser::refuse_unless_accepted(int status, error_code& ec) {
  refused_ = status;
  if (status != accepted) ec = beast::http::error::bad_value;
}

void request_parser::on_request_impl(beast::http::verb, text, text target, int version, error_code& ec) {
  request_.minor_version = version - 10;
  refuse_unless_accepted(read_target(view(target), request_) ? accepted : 400, ec);
}

void request_parser::on_field_impl(beast::http::field name, text name_text, text value, error_code& ec) {
  if (is_folded(view(name_text), view(value))) return refuse_unless_accepted(400, ec);
  if (in_trailer_) return;  // a trailer is dropped: it may not change what the head said
  request_.fields.push_back({view(name_text), view(value)});
  refuse_unless_accepted(look_at(name, view(value)), ec);
}

// Beast joins the lines of a field that goes on, in memory of its own unless only one of them has text.
bool request_parser::is_folded(std::string_view name, std::string_view value) const {
  const char* const end = parsed_.data() + parsed_.size();
  const char* const colon = name.data() + name.size();
  if (std::less<>()(value.data(), colon) || std::less<>()(end, value.data())) return true;
  return std::find(colon, value.data(), '\r') != value.data();
}

int request_parser::look_at(beast::http::field name, std::string_view value) {
  switch (name) {
    case beast::http::field::host:
      ++hosts_;
      if (request_.host.empty()) request_.host = value;
      return is_authority(value) ? accepted : 400;
    case beast::http::field::content_length:
      ++content_lengths_;
      content_length_ = value;
      return accepted;
    case beast::http::field::transfer_encoding:
      ++transfer_encodings_;
      transfer_encoding_ = value;
      return accepted;
    case beast::http::field::expect:
      while (!value.empty()) {
        const std::string_view expectation = take_element(value);
        const bool goes_on = equal_ignoring_case(expectation, "100-continue");
        request_.expects_continue |= goes_on;
        expects_more_ |= !goes_on && !expectation.empty();
      }
      return accepted;
    default: return accepted;
  }
}

// Applies RFC 9112, section 6.3, without what it tolerates. Beast has refused a length beside chunks.
int request_parser::check_framing() {
  if (hosts_ > 1 || (hosts_ == 0 && request_.minor_version == 1)) return 400;
  if (transfer_encodings_ > 0) {
    if (request_.minor_version == 0 || content_lengths_ > 0) return 400;
    if (transfer_encodings_ == 1 && equal_ignoring_case(transfer_encoding_, "chunked")) return accepted;
    const std::size_t last = transfer_encoding_.rfind(',') + 1;  // 0: there is no comma
    return equal_ignoring_case(trimmed(transfer_encoding_.substr(last)), "chunked") ? 501 : 400;
  }
  return content_lengths_ <= 1 &&
                 std::all_of(content_length_.begin(), content_length_.end(), [](char c) { return http::is_digit(c); })
             ? accepted
             : 400;
}

void request_parser::on_header_impl(error_code& ec) {
  in_trailer_ = true;
  request_.keep_alive = keep_alive();
  if (const int status = check_framing(); status != accepted) return refuse_unless_accepted(status, ec);
  if (request_.minor_version == 0) {
    request_.expects_continue = false;  // HTTP/1.0 knows no expectations
  } else {
    refuse_unless_accepted(expects_more_ ? 417 : accepted, ec);
  }
}

void request_parser::on_chunk_header_impl(std::uint64_t, text extensions, error_code& ec) {
  extensions_ += extensions.size();
  if (extensions_ > fields_max || !std::all_of(extensions.begin(), extensions.end(), is_field_char)) {
    refuse_unless_accepted(400, ec);
  }
}

}  // namespace http
