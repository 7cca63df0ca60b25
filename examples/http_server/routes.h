// What the server answers.
//
//   GET /               a greeting
//   GET /file?path=P    the file P below the served root
//   GET /sleep?ms=N     after N milliseconds (at most 10,000) in which the *thread* was blocked, the way
//                       a vendor library's call would block it
//   GET /stats          the runtime's counters and the server's, a "name value" line each
#pragma once

#include <string_view>

namespace http_server {

class output;
class server;

struct request {
  std::string_view method;
  std::string_view target;
  bool keep_alive = false;
  bool http_1_0 = false;
};

// (S) Answers: header and body.
void respond(server& s, const request& r, output& out);

// A short text that says what the status means. An empty request is one that could not be read.
void respond_with_error(const request& r, int status, output& out);

}  // namespace http_server
