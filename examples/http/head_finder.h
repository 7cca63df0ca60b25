// Finds the end of a request's head while its bytes arrive, and refuses at once what no end can make good: lines that
// are too long, and lines that end with a bare line feed.
#pragma once

#include "http/request.h"

#include <cstddef>
#include <string_view>

namespace http {

class head_finder {
 public:
  // `bytes` begins as in the call before, and may have more at its end. Sets `size` to the size of the head, with its
  // empty line, or leaves it 0 if more bytes have to come. Returns accepted, 400, 414 or 431.
  [[nodiscard]] int find(std::string_view bytes, std::size_t& size);

 private:
  std::size_t searched_ = 0;
  std::size_t line_ = 0;    // where the line that is not complete yet begins
  std::size_t fields_ = 0;  // where the fields begin; 0: the first line is not complete yet
};

}  // namespace http
