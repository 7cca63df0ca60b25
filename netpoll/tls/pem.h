// Reads certificates and keys in PEM. Internal to netpoll/tls.
#pragma once

#include <baton/netpoll/tls/openssl_handles.h>
#include <baton/netpoll/tls/tls_certificate.h>

#include <absl/status/statusor.h>
#include <string>
#include <string_view>

namespace baton::net {

// Never changes once it is made.
struct tls_identity_state {
  certificate_handle certificate;
  certificates_handle chain;  // of those between the certificate and the root
  key_handle key;
};

// Switches. Returns the content of a file; more than 16 MiB are refused.
absl::StatusOr<std::string> read_pem_file(const std::string& path);

// Never switch. `object` names the text in messages. Errors: INVALID_ARGUMENT; RESOURCE_EXHAUSTED without memory.

// Returns all certificates, at least one.
absl::StatusOr<certificates_handle> certificates_of_pem(std::string_view pem, std::string_view object);
absl::StatusOr<tls_identity_state> identity_of_pem(std::string_view chain, std::string_view chain_object,
                                                   std::string_view key, std::string_view key_object);

// Returns what the certificate says. Fields that cannot be read are empty. May throw std::bad_alloc.
tls_certificate describe_certificate(X509* certificate);

}  // namespace baton::net
