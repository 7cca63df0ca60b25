// The head of an HTTP/1.x request: its first line and its fields. RFC 9112, read strictly: anything that two servers
// could read in two ways is refused, so that no request can be hidden from one of them.
//
// The functions read no socket. A function that can refuse a request returns the status to answer with. The connection
// has to be closed then, because nothing says where the next request begins.
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
  bool chunked = false;
  std::uint64_t content_length = 0;  // 0 if chunked
};

// Finds the end of a head while its bytes arrive.
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

// Reads a head that head_finder has found. Returns accepted, 400, 417, 501 or 505. Sets `r.method` whenever it could be
// read.
[[nodiscard]] int read_head(std::string_view head, request& r);

// Reads "name: value", a line of a head or of a trailer without its end. Returns false if the line is not of that form.
[[nodiscard]] bool read_field(std::string_view line, field& f);

}  // namespace http
