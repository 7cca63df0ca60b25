// Public API: certificates: this side's with its private key, and the fields of a peer's.
#pragma once

#include <absl/status/statusor.h>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace baton::net {

struct tls_identity_state;

// A certificate with its private key and the certificates between it and the root. A cheap handle; copies share.
// Thread-safe: it never changes. A default-constructed one is empty.
class tls_identity {
 public:
  tls_identity() noexcept = default;

  // Switches. Reads PEM files: the certificate first, then those that certify it, in one file; the key in the other, or
  // in the same file. Errors: the kernel's (errno_of(status)); INVALID_ARGUMENT if a file holds no such thing, if the
  // key is encrypted, or if the key does not belong to the certificate.
  static absl::StatusOr<tls_identity> from_files(const std::string& chain_file, const std::string& key_file);
  // The same from memory. Never switches.
  static absl::StatusOr<tls_identity> from_pem(std::string_view chain, std::string_view key);

  [[nodiscard]] bool is_empty() const noexcept { return state_ == nullptr; }

 private:
  friend struct tls_context_state;
  explicit tls_identity(std::shared_ptr<const tls_identity_state> state) noexcept : state_(std::move(state)) {}

  std::shared_ptr<const tls_identity_state> state_;
};

// The fields of a peer's certificate. A plain value.
struct tls_certificate {
  std::string subject;                 // as RFC 2253 writes it: "CN=example.org,O=Example"
  std::string issuer;                  // in the same form
  std::vector<std::string> dns_names;  // those of subjectAltName
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  std::string sha256;  // the fingerprint: 64 lower-case hexadecimal digits
  std::string der;     // the certificate itself
};

}  // namespace baton::net
