// A request of HTTP/1.x, as the server's code sees it. head_finder.h and request_parser.h read it from bytes.
#pragma once

#include "http/text.h"

#include <cstddef>
#include <string_view>
#include <vector>

namespace http {

inline constexpr int accepted = 0;  // no status: nothing to refuse

// Limits in bytes, without the end of the line (of the last line). More is refused with 414 or 431.
inline constexpr std::size_t request_line_max = 8 * 1024;
inline constexpr std::size_t fields_max = 8 * 1024;
inline constexpr std::size_t head_max = request_line_max + fields_max + 4;

struct field {
  std::string_view name, value;  // the value without the white space around it
};

// The views point into the head that the request was read from.
struct request {
  std::string_view method;
  std::string_view path;   // still percent-encoded. "*" of "OPTIONS *"; empty for CONNECT
  std::string_view query;  // the same; without the '?'
  std::string_view host;   // "host" or "host:port": from the target if it has one, else from the field Host
  std::vector<field> fields;
  int minor_version = 1;  // of HTTP/1.x: 0 or 1
  bool keep_alive = false;
  bool expects_continue = false;  // the client waits for "100 Continue" before it sends the body

  // Returns the value of the only field of that name. Returns an empty text if there is none, or more than one.
  [[nodiscard]] std::string_view value_of(std::string_view name) const {
    std::string_view value;
    int found = 0;
    for (const field& f : fields) {
      if (equal_ignoring_case(f.name, name) && ++found == 1) value = f.value;
    }
    return found == 1 ? value : std::string_view();
  }
};

}  // namespace http
