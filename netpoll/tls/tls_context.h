// Public API: what the TLS connections of a server or a client share: certificates, trust, protocols, sessions.
#pragma once

#include <baton/netpoll/tls/tls_certificate.h>

#include <absl/status/statusor.h>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace baton::net {

struct tls_context_state;

enum class tls_version : std::uint8_t { tls1_2, tls1_3 };

// Whether a peer must show a certificate.
enum class tls_verify : std::uint8_t {
  none,     // not verified: a client does not know which server it talks to
  request,  // for servers: a client may come without one, but one that it shows must be valid
  require,  // there must be one, and it must be valid
};

struct tls_options {
  // The protocols of the application, the preferred one first: "h2", "http/1.1". A server takes the first of its own
  // that the client offers, and refuses a client that offers some but none of these. A client that offers some may get
  // none: see tls_stream::negotiated_protocol(). Each has 1 to 255 bytes.
  std::vector<std::string> alpn = {};
  tls_version min_version = tls_version::tls1_2;
  tls_version max_version = tls_version::tls1_3;
  // The trusted authorities, in PEM: a file, or a text, or both. With neither, a client trusts what the system trusts
  // (OpenSSL's default file and directory, or $SSL_CERT_FILE and $SSL_CERT_DIR).
  std::string ca_file = {};
  std::string ca_pem = {};
  // Not set: a client requires the server's certificate, a server asks for none. A server that asks needs ca_file or
  // ca_pem, because the system's list is for servers' certificates, not for clients'.
  std::optional<tls_verify> verify = {};
  // Resumption of sessions, which saves a round trip of TLS 1.2 and the certificates. A server hands out tickets, which
  // hold the session, encrypted; their key lives as long as the context. A client keeps the tickets of 256 sessions,
  // by the server's name.
  bool session_tickets = true;
  // Additional certificates. A server shows the first one whose names (subjectAltName, with wildcards) match the name
  // that the client asks for (SNI), else its first one. A client shows the first one here to a server that asks.
  std::vector<tls_identity> identities = {};
};

// A cheap handle; copies share. Thread-safe: it does not change, except for the sessions, which are guarded. A
// default-constructed one is empty, and connections refuse it.
//
// Fixed for all contexts: no TLS before 1.2, no compression, no renegotiation, no early data (0-RTT).
class tls_context {
 public:
  tls_context() noexcept = default;

  // Switch: they read files, in declared calls. Errors: the kernel's (errno_of(status)) for files; INVALID_ARGUMENT for
  // certificates or keys that cannot be read or do not belong together, for a protocol that is empty or too long, and
  // for options that contradict each other; RESOURCE_EXHAUSTED without memory.
  static absl::StatusOr<tls_context> server(const std::string& cert_file, const std::string& key_file,
                                            const tls_options& options = {});
  static absl::StatusOr<tls_context> server(const tls_identity& identity, const tls_options& options = {});
  static absl::StatusOr<tls_context> client(const tls_options& options = {});

  [[nodiscard]] bool is_empty() const noexcept { return state_ == nullptr; }

 private:
  friend class tls_stream;
  explicit tls_context(std::shared_ptr<const tls_context_state> state) noexcept : state_(std::move(state)) {}

  std::shared_ptr<const tls_context_state> state_;
};

}  // namespace baton::net
