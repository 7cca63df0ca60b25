// Serves a folder by HTTP/1.1, or HTTPS: files with types, validators and ranges; folders by their index.html or a
// list.
//
//   static_files [--root DIR] [...]          curl -r 0-99 http://127.0.0.1:8080/
//
//   site            what a path names, and how it is answered
//   preconditions   ETag, Last-Modified, If-None-Match and their like
//   byte_range      Range
//   ../http         the server, its connections, the grammar of requests, and files below a root
#include "command_line.h"
#include "descriptor_limit.h"
#include "site.h"

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
  http::settings settings;
  baton::options options;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--root" && i + 1 < argc && *argv[i + 1] != '\0') {
      root = argv[++i];
    } else if (!http::read_setting(argc, argv, i, settings, options)) {
      std::fprintf(stderr, "static_files: bad argument\nstatic_files [--root DIR]\n%s", http::settings_usage);
      return 2;
    }
  }
  examples::raise_descriptor_limit();
  baton::sys::owned_fd folder(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return examples::failed("static_files", absl::ErrnoToStatus(errno, "open " + root));
  // Never destroyed: requests that outlast the drain timeout use them until the process ends.
  static auto& site = *new static_files::site(std::move(folder));
  static auto& server = *new http::server("static_files", settings,
                                          [](http::request& r, http::connection& c) { site.answer(r, c.out()); });
  return examples::run(
      "static_files", [] { return server.run(); }, options);
}
