// What the client has already, or relies on: RFC 9110, sections 8.8 and 13. Pure functions.
#pragma once

#include "http/request.h"

#include <sys/stat.h>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace static_files {

// What tells one state of a file from another.
struct validators {
  std::string tag;           // ETag: "\"...\"", or W/"\"...\""
  std::time_t modified = 0;  // Last-Modified
};

// The tag has the time of the last change in nanoseconds, the size and the inode. A file that changed within the two
// seconds before `now` may change again without another time, so its tag is weak: it names no exact bytes.
[[nodiscard]] validators validators_of(const struct stat& about, std::time_t now);

// "Sun, 06 Nov 1994 08:49:37 GMT", and back: also from the two forms of old clients.
[[nodiscard]] std::string http_date(std::time_t when);
[[nodiscard]] std::optional<std::time_t> read_date(std::string_view text);

// Evaluates the preconditions of a GET or HEAD, in the order of the RFC. Returns 200, 304 or 412.
[[nodiscard]] int evaluate(const http::request& r, const validators& current);

// Returns true if the field Range holds: there is no If-Range, or it names exactly this state.
[[nodiscard]] bool range_applies(const http::request& r, const validators& current);

}  // namespace static_files
