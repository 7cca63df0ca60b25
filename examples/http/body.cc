#include "http/body.h"

#include "http/text.h"

#include <algorithm>

namespace http {

body_reader::body_reader(const request& r, std::uint64_t max)
    : state_(r.chunked                ? state::size_begin
             : r.content_length > max ? state::too_large
             : r.content_length > 0   ? state::content
                                      : state::complete),
      chunked_(r.chunked),
      max_(max),
      left_(r.content_length) {}

int body_reader::take(std::string_view& bytes, std::string_view& content) {
  content = {};
  if (state_ == state::too_large) return 413;
  while (!bytes.empty() && !is_complete()) {
    if (state_ == state::content) {
      content = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
      bytes.remove_prefix(content.size());
      left_ -= content.size();
      if (left_ == 0) state_ = chunked_ ? state::data_return : state::complete;
      return accepted;
    }
    const int status = take_framing(bytes.front());
    if (status != accepted) return status;
    bytes.remove_prefix(1);
  }
  return accepted;
}

// Takes one byte of what surrounds the chunks.
int body_reader::take_framing(char c) {
  switch (state_) {
    case state::size_begin:
      left_ = 0;
      digits_ = 0;
      state_ = state::size;
      return size_digit(c);
    case state::size: return hex_value(c) >= 0 ? size_digit(c) : after_size(c);
    case state::before_extension: return c == '\r' ? 400 : after_size(c);
    case state::extension:
      if (c == '\r') return after_size(c);
      return is_field_char(c) && ++extras_ <= extras_max ? accepted : 400;
    case state::size_end: state_ = left_ == 0 ? state::trailer : state::content; return c == '\n' ? accepted : 400;
    case state::data_return: state_ = state::data_end; return c == '\r' ? accepted : 400;
    case state::data_end: state_ = state::size_begin; return c == '\n' ? accepted : 400;
    case state::trailer: return trailer_char(c);
    default: return 400;
  }
}

int body_reader::size_digit(char c) {
  if (hex_value(c) < 0 || ++digits_ > size_digits_max) return 400;
  left_ = left_ * 16 + static_cast<std::uint64_t>(hex_value(c));
  return accepted;
}

int body_reader::after_size(char c) {
  if (c == '\r') {
    if (left_ > max_ - taken_) return 413;
    taken_ += left_;
    state_ = state::size_end;
    return accepted;
  }
  state_ = c == ';' ? state::extension : state::before_extension;
  return (c == ';' || c == ' ' || c == '\t') && ++extras_ <= extras_max ? accepted : 400;
}

// Checks the fields of a trailer and drops them: they may not change what the head said.
int body_reader::trailer_char(char c) {
  if (++extras_ > extras_max) return 431;
  if (c != '\n') {
    line_.push_back(c);
    return accepted;
  }
  if (!line_.ends_with('\r')) return 400;
  line_.pop_back();
  field ignored;
  if (line_.empty())
    state_ = state::complete;
  else if (!read_field(line_, ignored))
    return 400;
  line_.clear();
  return accepted;
}

}  // namespace http
