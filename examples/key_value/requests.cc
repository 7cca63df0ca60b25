// A request that has come in part is not read again from its beginning: the state between two calls of next() is the
// places of the words that are complete, and at_.
#include "requests.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace key_value {

namespace {

// As in Redis. The server keeps no more than this for a request that is not complete.
constexpr std::size_t line_max = 64 * 1024;
constexpr long words_max = 1024 * 1024;
constexpr long word_max = 512L * 1024 * 1024;
constexpr std::size_t read_size = 16 * 1024;
constexpr std::size_t kept_max = 256 * 1024;  // a larger buffer is given back once it is empty

bool read_number(std::string_view text, long low, long high, long& value) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && stop == text.data() + text.size() && value >= low && value <= high;
}

}  // namespace

baton::bytes requests::room() {
  words_.clear();
  const std::size_t used = end_ - begin_;
  const bool shrinks = used == 0 && capacity_ > kept_max;
  if (capacity_ - end_ < read_size || shrinks) {
    // It grows with what has come, not with what a request promises.
    if (capacity_ - used < read_size || shrinks) {
      const std::size_t capacity = shrinks ? read_size : 2 * capacity_ + read_size;
      auto larger = std::make_unique_for_overwrite<char[]>(capacity);
      if (used > 0) std::memcpy(larger.get(), begin(), used);
      data_ = std::move(larger);
      capacity_ = capacity;
    } else if (used > 0) {
      std::memmove(data_.get(), begin(), used);
    }
    at_ -= begin_;
    begin_ = 0;
    end_ = used;
  }
  return {data_.get() + end_, capacity_ - end_};
}

bool requests::take_line(std::string_view& line) noexcept {
  const char* const from = data_.get() + at_;
  const auto* const end = static_cast<const char*>(std::memchr(from, '\n', end_ - at_));
  if (end == nullptr) return false;
  line = {from, static_cast<std::size_t>(end - from)};
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  at_ = static_cast<std::size_t>(end - data_.get()) + 1;
  return true;
}

requests::state requests::next() {
  if (missing_ < 0) {
    begin_ = at_;
    words_.clear();
    if (begin_ == end_) return state::partial;
    if (*begin() != '*') return next_line();
    std::string_view line;
    if (!take_line(line)) return end_ - at_ > line_max ? fail("too big mbulk count string") : state::partial;
    if (!read_number(line.substr(1), -1, words_max, missing_)) return fail("invalid multibulk length");
    missing_ = std::max(missing_, 0L);
    places_.clear();
  }
  return next_array();
}

requests::state requests::next_line() {
  std::string_view line;
  if (!take_line(line)) return end_ - at_ > line_max ? fail("too big inline request") : state::partial;
  constexpr std::string_view blanks = " \t";
  for (std::size_t i = line.find_first_not_of(blanks); i != line.npos; i = line.find_first_not_of(blanks, i)) {
    const std::size_t end = std::min(line.find_first_of(blanks, i), line.size());
    words_.push_back(line.substr(i, end - i));
    i = end;
  }
  return state::complete;
}

requests::state requests::next_array() {
  for (; missing_ > 0; --missing_) {
    if (length_ < 0) {
      std::string_view line;
      if (!take_line(line)) return end_ - at_ > line_max ? fail("too big bulk count string") : state::partial;
      if (line.empty() || line[0] != '$') return fail("expected '$'");
      if (!read_number(line.substr(1), 0, word_max, length_)) return fail("invalid bulk length");
    }
    const auto length = static_cast<std::size_t>(length_);
    if (end_ - at_ < length + 2) return state::partial;
    if (std::memcmp(data_.get() + at_ + length, "\r\n", 2) != 0) return fail("expected the end of a bulk string");
    places_.emplace_back(at_ - begin_, length);
    at_ += length + 2;
    length_ = -1;
  }
  missing_ = -1;
  for (const auto& [offset, length] : places_) words_.emplace_back(begin() + offset, length);
  return state::complete;
}

}  // namespace key_value
