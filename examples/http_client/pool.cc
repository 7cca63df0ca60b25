#include "pool.h"

#include <absl/status/status.h>

#include <mutex>

namespace http_client {

pool::pool(pool_options options)
    : options_(std::move(options))
#ifdef EXAMPLES_TLS
      ,
      trusted_(baton::net::tls_context::client({.alpn = {"http/1.1"}, .ca_file = options_.ca_file}))
#endif
{
}

pool::lease::~lease() {
  if (!is_kept_ || connection_ == nullptr) return;
  connection_->was_used = true;
  const std::lock_guard guard(server_->mutex);
  server_->idle.push_back(std::move(connection_));
}

pool::server& pool::server_of(const url& to) {
  const std::lock_guard guard(mutex_);
  auto& found = servers_[(to.secure ? "https://" : "http://") + to.authority()];
  if (found == nullptr) found = std::make_unique<server>(options_.connections_per_server);
  return *found;
}

absl::StatusOr<pool::lease> pool::acquire(const url& to, bool fresh, const baton::context& ctx) {
  server& s = server_of(to);
  if (absl::Status turn = s.permits.acquire(ctx); !turn.ok()) return turn;
  lease one(s);
  std::vector<std::unique_ptr<connection>> distrusted;  // closed without the mutex
  {
    const std::lock_guard guard(s.mutex);
    if (fresh) distrusted.swap(s.idle);
    if (!s.idle.empty()) {
      one.connection_ = std::move(s.idle.back());
      s.idle.pop_back();
      return one;
    }
  }
  auto peer = connect(to, ctx);
  if (!peer.ok()) return peer.status();
  one.connection_ = std::make_unique<connection>(*std::move(peer));
  return one;
}

absl::StatusOr<http::peer> pool::connect(const url& to, const baton::context& ctx) {
  auto tcp = baton::net::dial(to.authority(), {.timeout = options_.dial_timeout, .ctx = ctx});
  if (!tcp.ok()) return tcp.status();
  if (!to.secure) return http::peer(*std::move(tcp));
#ifdef EXAMPLES_TLS
  if (!trusted_.ok()) return trusted_.status();
  const std::string name = to.host.starts_with('[') ? to.host.substr(1, to.host.size() - 2) : to.host;
  auto tls = baton::net::tls_stream::connect(*std::move(tcp), *trusted_, name,
                                             {.timeout = options_.handshake_timeout, .ctx = ctx});
  if (!tls.ok()) return tls.status();
  return http::peer(*std::move(tls));
#else
  return absl::UnimplementedError("built without OpenSSL, and so without https");
#endif
}

}  // namespace http_client
