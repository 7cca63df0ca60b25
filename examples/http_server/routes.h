// What the server answers.
//
//   GET /               a greeting
//   GET /file?path=P    the file P below the served root
//   GET /sleep?ms=N     after N milliseconds (at most 10,000) in which the *thread* was blocked, the way
//                       a vendor library's call would block it
//   GET /stats          the runtime's counters and the server's, a "name value" line each
#pragma once

#include <string>
#include <string_view>

namespace http_server {

class server;

struct request {
  std::string_view method;
  std::string_view target;
  bool keep_alive;
};

// Whether responses that are ready should be sent before this one is worked on.
[[nodiscard]] bool may_take_long(const request& r);

// (S) Appends the whole response, header and body.
void respond(server& s, const request& r, std::string& out);

void append_error(server& s, int status, bool keep_alive, std::string& out);

}  // namespace http_server
