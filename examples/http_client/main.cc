// Fetches URLs, many at once, and prints a line for each in their order: status, size, address.
//
//   http_client [--at-once N] [--per-server N] [--timeout-ms N] [--ca FILE] [--body] URL...
//
//   fetch      many URLs with bounded concurrency; redirects
//   pool       connections that are kept open, so many for each server
//   exchange   one request and one response, with a timeout for each phase
//   url        addresses
//
// --body prints the bodies instead. SIGINT or SIGTERM ends the fetches that are under way. Exit code 0: each URL was
// fetched, whatever the status; 1: some were not.
#include "command_line.h"
#include "descriptor_limit.h"
#include "fetch.h"

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace {

int fetch_and_print(const http_client::fetch_options& options, const std::vector<std::string>& addresses, int at_once,
                    bool bodies) {
  const auto ctx = baton::with_cancel(baton::context::background());
  const baton::channel<int> stop(1);
  baton::os_signals::notify(stop, {SIGINT, SIGTERM});
  const auto stopper = baton::spawn([&] {  // joins at the end of this function
    if (stop.receive()) ctx.cancel();
  });
  http_client::fetcher all(options);
  const auto results = all.fetch_all(addresses, at_once, ctx);
  stop.close();
  int code = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& one = results[i];
    if (!one.ok()) {
      examples::failed("http_client", one.status());
      code = 1;
    } else if (bodies) {
      std::fwrite(one->body.data(), 1, one->body.size(), stdout);
    } else {
      std::printf("%d %zu %s\n", one->status, one->body.size(), one->url.c_str());
    }
  }
  return std::fflush(stdout) == 0 ? code : 1;
}

}  // namespace

int main(int argc, char** argv) {
  http_client::fetch_options options;
  std::vector<std::string> addresses;
  long at_once = 16;
  bool bodies = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : "";
    long n = 0;
    if (!name.starts_with("--")) {
      addresses.emplace_back(name);
      continue;
    }
    if (name == "--body") {
      bodies = true;
      continue;
    }
    ++i;
    if (name == "--at-once" && examples::read_number(value, 1, 10'000, at_once)) continue;
    if (name == "--per-server" && examples::read_number(value, 1, 10'000, n)) {
      options.connections.connections_per_server = static_cast<int>(n);
    } else if (name == "--timeout-ms" && examples::read_number(value, 1, 3'600'000, n)) {
      options.timeout = std::chrono::milliseconds(n);
    } else if (name == "--ca" && *value != '\0') {
      options.connections.ca_file = value;
    } else {
      return examples::misused(
          "http_client [--at-once N] [--per-server N] [--timeout-ms N] [--ca FILE] [--body] URL...");
    }
  }
  if (addresses.empty()) return examples::misused("http_client [options] URL...");
  examples::raise_descriptor_limit();
  return examples::run("http_client",
                       [&] { return fetch_and_print(options, addresses, static_cast<int>(at_once), bodies); });
}
