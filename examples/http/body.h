// The body of a request, as it arrives: of a known length, or chunked. RFC 9112, sections 6 and 7. Reads no socket.
#pragma once

#include "http/request.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace http {

class body_reader {
 public:
  // Refuses more than `max` bytes of content with 413.
  body_reader(const request& r, std::uint64_t max);

  [[nodiscard]] bool is_complete() const { return state_ == state::complete; }

  // Takes from the front of `bytes` what belongs to the body: all of it, or up to its end, or as much as makes
  // `content` one piece of the content. Returns accepted, 400, 413 or 431.
  [[nodiscard]] int take(std::string_view& bytes, std::string_view& content);

 private:
  enum class state {
    too_large,
    content,
    complete,
    size_begin,
    size,
    before_extension,
    extension,
    size_end,
    data_return,
    data_end,
    trailer
  };

  [[nodiscard]] int take_framing(char c);
  [[nodiscard]] int size_digit(char c);
  [[nodiscard]] int after_size(char c);
  [[nodiscard]] int trailer_char(char c);

  static constexpr int size_digits_max = 16;             // so that a size fits in 64 bits
  static constexpr std::size_t extras_max = fields_max;  // of all extensions and trailers together

  state state_;
  const bool chunked_;
  const std::uint64_t max_;
  std::uint64_t left_;  // of the body, or of the chunk
  std::uint64_t taken_ = 0;
  int digits_ = 0;
  std::size_t extras_ = 0;
  std::string line_;  // of the trailer
};

}  // namespace http
