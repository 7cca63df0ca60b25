// An HTTP/1.1 server with a fiber for each connection: keep-alive, pipelining, files, and a route that blocks its
// thread while the other fibers run on. With --tls it speaks HTTPS.
//
//   routes    what it serves
//   ../http   the server, its connections, and the grammar of requests
#include "command_line.h"
#include "descriptor_limit.h"
#include "routes.h"

#include "http/connection.h"
#include "http/server.h"
#include "http/settings.h"

#include <fcntl.h>
#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

int main(int argc, char** argv) {
  std::string root = ".";
  long sleeps_at_once = 16;
  http::settings settings;
  baton::options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (i + 1 < argc && name == "--root" && *argv[i + 1] != '\0') {
      root = argv[++i];
    } else if (i + 1 < argc && name == "--sleeps-at-once" &&
               examples::read_number(argv[i + 1], 1, 10'000, sleeps_at_once)) {
      ++i;
    } else if (!http::read_setting(argc, argv, i, settings, options)) {
      std::fprintf(stderr, "http_server: bad argument %s\nhttp_server [--root DIR] [--sleeps-at-once N]\n%s",
                   name.data(), http::settings_usage);
      return 2;
    }
  }
  examples::raise_descriptor_limit();
  baton::sys::owned_fd folder(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return examples::failed("http_server", absl::ErrnoToStatus(errno, "open " + root));
  // Never destroyed: requests that outlast the drain timeout use them until the process ends.
  static auto& routes = *new http_server::routes(std::move(folder), static_cast<int>(sleeps_at_once));
  static auto& server = *new http::server("http_server", settings,
                                          [](http::request& r, http::connection& c) { routes.answer(r, c.out()); });
  routes.set_server(server);
  return examples::run(
      "http_server", [] { return server.run(); }, options);
}
