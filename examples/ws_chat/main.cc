// A chat over WebSocket. Open http://127.0.0.1:8080/ in two windows of a browser.
//
//   ws_chat [--port N] [--tls CERT KEY] [...]
//
//   page          what the browser shows
//   room          who is there; a member that does not read is dropped
//   member        one WebSocket, by Boost.Beast
//   turn_stream   lets two fibers share it
//   ../http       the server, its connections, and the grammar of requests
//
// A member that is silent for 20 s is asked for a sign of life (ping), and is given up after 50 s. SIGTERM or SIGINT
// says goodbye to all (1001).
#include "command_line.h"
#include "descriptor_limit.h"
#include "member.h"
#include "page.h"

#include "http/connection.h"
#include "http/response.h"
#include "http/server.h"
#include "http/settings.h"

#include <cstdio>

namespace {

void answer(const http::request& r, http::connection& c, ws_chat::room& all) {
  if (http::refuse_method(r, c.out())) return;
  if (r.path == "/") return respond(r, 200, "text/html; charset=utf-8", ws_chat::page, c.out());
  if (r.path == "/chat") return serve_member(r, c, all);
  respond_with_error(r, 404, c.out());
}

}  // namespace

int main(int argc, char** argv) {
  http::settings settings;
  baton::options options;
  for (int i = 1; i < argc; ++i) {
    if (!http::read_setting(argc, argv, i, settings, options)) {
      std::fprintf(stderr, "ws_chat: bad argument\nws_chat\n%s", http::settings_usage);
      return 2;
    }
  }
  examples::raise_descriptor_limit();
  // Never destroyed: connections that outlast the drain timeout use them until the process ends.
  static auto& room = *new ws_chat::room;
  static auto& server =
      *new http::server("ws_chat", settings, [](http::request& r, http::connection& c) { answer(r, c, room); });
  return examples::run(
      "ws_chat", [] { return server.run(); }, options);
}
