#include "fetch.h"

#include <absl/status/status.h>

#include <cstddef>
#include <optional>
#include <utility>

namespace http_client {

namespace {

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

absl::StatusOr<response> fetcher::get(const url& what, const baton::context& ctx) {
  for (bool fresh = false;; fresh = true) {
    auto connection = pool_.acquire(what, fresh, ctx);
    if (!connection.ok()) return connection.status();
    response answer;
    const failure why = exchange(**connection, what, options_.exchanges, ctx, answer);
    if (why.status.ok()) {
      if (answer.can_go_on) connection->keep();
      return answer;
    }
    if (!why.untouched) return why.status;
  }
}

absl::StatusOr<fetched> fetcher::fetch(const std::string& address, const baton::context& ctx) {
  const auto limited = baton::with_timeout(ctx, options_.timeout);
  std::optional<url> at = parse_url(address);
  if (!at) return absl::InvalidArgumentError(address + ": no URL of http or https");
  for (int left = options_.redirects_max;; --left) {
    auto answer = get(*at, limited);
    if (!answer.ok()) return answer.status();
    if (!is_redirect(answer->status) || answer->location.empty()) {
      return fetched{answer->status, at->to_string(), std::move(answer->body)};
    }
    if (left == 0) return absl::OutOfRangeError(address + ": too many redirects");
    const auto next = resolve(*at, answer->location);
    if (!next) return absl::DataLossError(at->to_string() + ": redirects to " + answer->location);
    if (at->secure && !next->secure) {
      return absl::PermissionDeniedError(at->to_string() + ": redirects to " + next->to_string() + ", without TLS");
    }
    at = next;
  }
}

std::vector<absl::StatusOr<fetched>> fetcher::fetch_all(const std::vector<std::string>& addresses, int at_once,
                                                        const baton::context& ctx) {
  std::vector<absl::StatusOr<fetched>> results(addresses.size(), absl::CancelledError());
  baton::task_group group(ctx);
  group.set_limit(at_once);
  for (std::size_t i = 0; i < addresses.size() && !ctx.is_done(); ++i) {
    group.spawn([&, i](const baton::context& child) { results[i] = fetch(addresses[i], child); });
  }
  static_cast<void>(group.wait());  // no child fails: each has a result
  return results;
}

}  // namespace http_client
