// An HTTP/1.1 server with a fiber for each connection: keep-alive, pipelining, files, and a route that blocks its
// thread while the other fibers run on.
//
//   routes       what it serves
//   connection   reads requests, one after another
//   output       collects and sends responses
//   peer         the stream of a connection: TCP or TLS
//   server       listens, and stops gracefully
//   ../http      the grammar of requests, without sockets
#include "../command_line.h"
#include "../descriptor_limit.h"
#include "server.h"

#include <cstdio>
#include <string>
#include <string_view>

namespace {

constexpr const char* usage =
    "http_server [--port N] [--procs N] [--root DIR] [--header-timeout-ms N] [--idle-timeout-ms N]\n"
    "            [--write-timeout-ms N] [--drain-timeout-ms N] [--sleeps-at-once N]\n"
    "            [--tls CERT KEY]\n"
    "  --port 0 lets the kernel choose; the address is printed.\n"
    "  --tls speaks HTTPS; the certificate, with those above it, and the key are PEM files.\n"
    "  SIGTERM or SIGINT drains. Exit code 0: every request was answered; 1: some took longer than that, or the\n"
    "  server could not listen or accept.\n";

}  // namespace

int main(int argc, char** argv) {
  constexpr long hour_ms = 3'600'000;
  http_server::settings settings;
  baton::options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : "";
    long n = 0;
    if (name == "--port" && examples::read_number(value, 0, 65'535, n)) {
      settings.address = "127.0.0.1:" + std::to_string(n);
    } else if (name == "--procs" && examples::read_number(value, 1, 256, n)) {
      options.procs = static_cast<int>(n);
    } else if (name == "--root" && *value != '\0') {
      settings.root = value;
    } else if (name == "--header-timeout-ms" && examples::read_number(value, 1, hour_ms, n)) {
      settings.header_timeout = std::chrono::milliseconds(n);
    } else if (name == "--idle-timeout-ms" && examples::read_number(value, 1, hour_ms, n)) {
      settings.idle_timeout = std::chrono::milliseconds(n);
    } else if (name == "--write-timeout-ms" && examples::read_number(value, 1, hour_ms, n)) {
      settings.write_timeout = std::chrono::milliseconds(n);
    } else if (name == "--drain-timeout-ms" && examples::read_number(value, 0, hour_ms, n)) {
      settings.drain_timeout = std::chrono::milliseconds(n);
    } else if (name == "--tls" && i + 2 < argc && *value != '\0') {
      settings.tls_cert = value;
      settings.tls_key = argv[i + 2];
      ++i;
    } else if (name == "--sleeps-at-once" && examples::read_number(value, 1, 10'000, n)) {
      settings.sleeps_at_once = static_cast<int>(n);
    } else {
      std::fprintf(stderr, "http_server: bad argument %s %s\n%s", argv[i], value, usage);
      return 2;
    }
  }
  examples::raise_descriptor_limit();
  // Never destroyed: requests that outlast the drain timeout use it until the process ends.
  static auto& server = *new http_server::server(settings);
  return examples::run(
      "http_server", [] { return server.run(); }, options);
}
