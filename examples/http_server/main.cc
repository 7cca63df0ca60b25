// An HTTP/1.1 server with a fiber for each connection: keep-alive, pipelining, files, and a route that
// blocks its thread, beside which the others run on. See routes.h for what it serves.
#include "server.h"

#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <sys/resource.h>

namespace {

constexpr const char* usage =
    "http_server [--port N] [--procs N] [--root DIR] [--header-timeout-ms N] [--drain-timeout-ms N]\n"
    "  --port 0 lets the kernel choose; the address is printed\n";

bool number(const char* text, long low, long high, long* value) {
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, *value);
  return error == std::errc() && stop == end && *value >= low && *value <= high;
}

// As many descriptors as we are allowed: each connection is one.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlimit wanted{65'536, limit.rlim_max < 65'536 ? 65'536 : limit.rlim_max};
  if (limit.rlim_cur >= wanted.rlim_cur || ::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  std::fprintf(stderr, "http_server: at most %llu descriptors (the hard limit cannot be raised)\n",
               static_cast<unsigned long long>(limit.rlim_cur));
}

}  // namespace

int main(int argc, char** argv) {
  http_server::settings settings;
  baton::options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : "";
    long n = 0;
    if (name == "--port" && number(value, 0, 65'535, &n)) {
      settings.address = "127.0.0.1:" + std::to_string(n);
    } else if (name == "--procs" && number(value, 1, 256, &n)) {
      options.procs = static_cast<int>(n);
    } else if (name == "--root" && *value != '\0') {
      settings.root = value;
    } else if (name == "--header-timeout-ms" && number(value, 1, 3'600'000, &n)) {
      settings.header_timeout = std::chrono::milliseconds(n);
    } else if (name == "--drain-timeout-ms" && number(value, 0, 3'600'000, &n)) {
      settings.drain_timeout = std::chrono::milliseconds(n);
    } else {
      std::fprintf(stderr, "http_server: bad argument %s %s\n%s", argv[i], value, usage);
      return 2;
    }
  }
  raise_descriptor_limit();
  return baton::run([&] { return http_server::server(settings).run(); }, options);
}
