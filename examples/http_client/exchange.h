// One request and its response on one connection, by Boost.Beast.
#pragma once

#include "pool.h"
#include "url.h"

#include <baton/baton.h>

#include <absl/status/statusor.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace http_client {

struct exchange_options {
  std::chrono::milliseconds write_timeout{5'000};
  std::chrono::milliseconds header_timeout{10'000};  // until the whole head has come
  std::chrono::milliseconds body_timeout{10'000};    // for each piece of the body
  std::uint64_t body_max = 64 * 1024 * 1024;
};

struct response {
  int status = 0;
  std::string location;  // of a redirect
  std::string body;
  bool can_go_on = false;  // the connection can carry another request
};

// Why there is none. `untouched`: the server has closed an idle connection, and no byte of a response has come, so the
// request may be sent again.
struct failure {
  absl::Status status;
  bool untouched = false;
};

// Sends a GET, and reads the response. Returns a failure that is ok if there is one. Switches.
[[nodiscard]] failure exchange(connection& c, const url& what, const exchange_options& options,
                               const baton::context& ctx, response& answer);

}  // namespace http_client
