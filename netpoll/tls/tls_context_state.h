// What a tls_context shares with its connections. Internal to netpoll/tls.
#pragma once

#include <baton/netpoll/tls/openssl_handles.h>
#include <baton/netpoll/tls/pem.h>
#include <baton/netpoll/tls/session_cache.h>
#include <baton/netpoll/tls/tls_context.h>

#include <absl/status/status.h>
#include <memory>
#include <string>
#include <vector>

namespace baton::net {

// Set up by one agent; const from then on. OpenSSL's callbacks get its address.
struct tls_context_state {
  enum class role : std::uint8_t { server, client };

  explicit tls_context_state(role as) noexcept : is_server(as == role::server) {}
  tls_context_state(const tls_context_state&) = delete;
  tls_context_state& operator=(const tls_context_state&) = delete;

  // Switches. Applies the options. For a server with an identity of its own, that is options.identities.front().
  absl::Status set_up(const tls_options& options);

  const bool is_server;
  bool verifies_peer = false;
  bool keeps_sessions = false;  // of a client
  ssl_ctx_handle ctx;
  std::string alpn;  // as the handshake carries it: each with a byte for its length before it
  std::vector<std::shared_ptr<const tls_identity_state>> identities;
  mutable session_cache sessions;

 private:
  absl::Status set_protocols(const tls_options& options);
  absl::Status set_versions_and_modes(const tls_options& options);
  absl::Status set_identities(const tls_options& options);
  absl::Status set_trust(const tls_options& options);
  absl::Status trust_pem(const std::string& pem, std::string_view object);
  void set_sessions(const tls_options& options);
};

}  // namespace baton::net
