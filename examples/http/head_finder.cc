#include "http/head_finder.h"

#include <algorithm>

namespace http {

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

}  // namespace http
