#include "replies.h"

#include <charconv>

namespace key_value {

namespace {
constexpr std::size_t kept_max = 256 * 1024;
}  // namespace

void replies::head(char kind, long long n) {
  char text[32];
  text[0] = kind;
  char* end = std::to_chars(text + 1, text + sizeof text - 2, n).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out_.append(text, end);
}

void replies::simple(std::string_view text) { out_.append("+").append(text).append("\r\n"); }
void replies::error(std::string_view text) { out_.append("-").append(text).append("\r\n"); }
void replies::integer(long long n) { head(':', n); }
void replies::null() { out_.append("$-1\r\n"); }
void replies::array(std::size_t size) { head('*', static_cast<long long>(size)); }

void replies::bulk(std::string_view bytes) {
  head('$', static_cast<long long>(bytes.size()));
  out_.append(bytes).append("\r\n");
}

void replies::score(double value) {
  char text[32];
  bulk({text, std::to_chars(text, text + sizeof text, value).ptr});
}

void replies::sent() {
  out_.clear();
  if (out_.capacity() > kept_max) out_.shrink_to_fit();
}

}  // namespace key_value
