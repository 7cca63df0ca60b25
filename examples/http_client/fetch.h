// Fetches URLs: follows redirects, and sends a request again if an idle connection turns out to be closed.
#pragma once

#include "exchange.h"
#include "pool.h"

#include <baton/baton.h>

#include <absl/status/statusor.h>

#include <string>
#include <vector>

namespace http_client {

struct fetch_options {
  pool_options connections;
  exchange_options exchanges;
  std::chrono::milliseconds timeout{30'000};  // of one URL, with all its redirects and waits
  int redirects_max = 10;
};

struct fetched {
  int status = 0;
  std::string url;  // where the redirects have led
  std::string body;
};

class fetcher {
 public:
  explicit fetcher(fetch_options options) : options_(std::move(options)), pool_(options_.connections) {}

  // Thread-safe. Switches.
  absl::StatusOr<fetched> fetch(const std::string& address, const baton::context& ctx);

  // Fetches many, `at_once` of them at a time. The results are in the order of the addresses; one that fails does not
  // end the others. When the context is done, those that are left fail at once. Switches.
  std::vector<absl::StatusOr<fetched>> fetch_all(const std::vector<std::string>& addresses, int at_once,
                                                 const baton::context& ctx);

 private:
  absl::StatusOr<response> get(const url& what, const baton::context& ctx);

  const fetch_options options_;
  pool pool_;
};

}  // namespace http_client
