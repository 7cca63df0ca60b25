// Reads the head of an HTTP/1.x request: the request line and the header fields, checked as RFC 9112 wants them.
// Nothing is copied: what is found are views into the caller's buffer. What the bench server needs, and no more:
// a server to learn from is examples/http_server.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bench::http {

struct field {
  std::string_view name, value;
};

struct request {
  std::string_view method, target;
  int minor_version = 1;
  std::array<field, 100> fields;
  std::size_t field_count = 0;
  // What the fields say of the connection and the body.
  bool keep_alive = true;
  bool transfer_coded = false;
  std::uint64_t content_length = 0;
};

enum class outcome { complete, incomplete, bad };

// The head at the beginning of `text`. Complete: `*size` bytes of it.
outcome parse(std::string_view text, request* r, std::size_t* size);

}  // namespace bench::http
