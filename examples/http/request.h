// The head of an HTTP/1.x request: its first line and its fields. RFC 9112, read strictly: whatever two servers could
// read in two ways is refused, so that nobody hides a request from one of them.
//
// The functions read no socket. Each that can refuse a request returns the status to answer with; afterwards the
// connection is to be closed, because nobody knows where the next request begins.
#pragma once

#include <cstddef>
#include <cstdint>
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

// The views are into the head that it was read from.
struct request {
  std::string_view method;
  std::string_view path;   // still percent-encoded. "*" of "OPTIONS *"; empty for CONNECT
  std::string_view query;  // the same; without the '?'
  std::string_view host;   // "host" or "host:port": the target's if it has one, else of the field Host
  std::vector<field> fields;
  int minor_version = 1;  // of HTTP/1.x: 0 or 1
  bool keep_alive = false;
  bool expects_continue = false;  // the client waits for "100 Continue" before it sends the body
  bool chunked = false;
  std::uint64_t content_length = 0;  // 0 if chunked
};

// Finds the end of a head while its bytes arrive.
class head_finder {
 public:
  // `bytes` begins as in the call before, and may have more at its end. Sets `size` to that of the head, with its empty
  // line, or leaves it 0 when more has to come. Returns accepted, 400, 414 or 431.
  [[nodiscard]] int find(std::string_view bytes, std::size_t& size);

 private:
  std::size_t searched_ = 0;
  std::size_t line_ = 0;    // where the line begins that is not complete yet
  std::size_t fields_ = 0;  // where the fields begin; 0: the first line is not complete yet
};

// Reads a head that head_finder has found. Returns accepted, 400, 417, 501 or 505. `r.method` is set whenever it could
// be read.
[[nodiscard]] int read_head(std::string_view head, request& r);

// Reads "name: value", a line of a head or of a trailer without its end. False: it is no such line.
[[nodiscard]] bool read_field(std::string_view line, field& f);

}  // namespace http
