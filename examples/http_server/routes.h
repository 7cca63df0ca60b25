// What the server answers.
//
//   GET /               a greeting
//   GET /file?path=P    the file P below the served root
//   GET /sleep?ms=N     after N milliseconds (at most 10,000) in which the *thread* was blocked, the way
//                       a vendor library's call would block it
//   GET /stats          the runtime's counters and the server's, a "name value" line each
#pragma once

namespace http {
struct request;
}

namespace http_server {

class output;
class server;

// Answers the request: header and body. Switches.
void respond(server& s, const http::request& r, output& out);

// Answers with a short text that says what the status means. The request may be one that could not be read.
void respond_with_error(const http::request& r, int status, output& out);

}  // namespace http_server
