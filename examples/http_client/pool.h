// Connections to servers, kept open between requests: at most so many to one server, whether they are busy or idle.
#pragma once

#include "url.h"

#include "http/peer.h"

#include <baton/baton.h>

#include <absl/status/statusor.h>
#include <boost/beast/core/flat_buffer.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace http_client {

struct connection {
  explicit connection(http::peer p) : stream(std::move(p)) {}
  http::peer stream;
  boost::beast::flat_buffer received;  // bytes of the next response
  bool was_used = false;               // it has carried a request before
};

struct pool_options {
  int connections_per_server = 4;
  std::chrono::milliseconds dial_timeout{5'000};       // with the look-up of the name
  std::chrono::milliseconds handshake_timeout{5'000};  // of TLS
  std::string ca_file;                                 // whom to trust; empty: whom the system trusts
};

class pool {
  struct server;

 public:
  explicit pool(pool_options options);

  // A connection for one request. It goes to the idle ones if it was kept, else it is closed.
  class lease {
   public:
    lease(lease&&) noexcept = default;
    lease& operator=(lease&&) = delete;
    ~lease();  // Switches
    connection& operator*() const { return *connection_; }
    connection* operator->() const { return connection_.get(); }
    void keep() { is_kept_ = true; }

   private:
    friend class pool;
    struct give_back {
      void operator()(baton::semaphore* s) const { s->release(); }
    };
    lease(server& s) : server_(&s), permit_(&s.permits) {}

    server* server_;
    std::unique_ptr<baton::semaphore, give_back> permit_;
    std::unique_ptr<connection> connection_;
    bool is_kept_ = false;
  };

  // Waits until the server may have one more connection in use. Takes an idle one, or makes one; `fresh` does not trust
  // the idle ones, and closes them. Each phase ends at its own timeout, and when the context is done. Switches.
  absl::StatusOr<lease> acquire(const url& to, bool fresh, const baton::context& ctx);

 private:
  struct server {
    explicit server(int connections) : permits(connections) {
      idle.reserve(static_cast<std::size_t>(connections));  // so that a lease can always be given back
    }
    baton::semaphore permits;
    baton::mutex mutex;
    std::vector<std::unique_ptr<connection>> idle;
  };

  server& server_of(const url& to);
  absl::StatusOr<http::peer> connect(const url& to, const baton::context& ctx);

  const pool_options options_;
#ifdef EXAMPLES_TLS
  const absl::StatusOr<baton::net::tls_context> trusted_;
#endif
  baton::mutex mutex_;
  std::map<std::string, std::unique_ptr<server>> servers_;  // never removed: leases point to them
};

}  // namespace http_client
