#include <baton/netpoll/tls/openssl_errors.h>

#include <baton/syscall/status.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <cerrno>
#include <string>

namespace baton::net {

namespace {

// The first error is the cause; those after it are what followed from it.
unsigned long take_first() noexcept {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  return first;
}

std::string reason_of(unsigned long error) {
  const char* const reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  if (reason != nullptr) return reason;
  return error == 0 ? "unknown error of OpenSSL" : "error " + std::to_string(error) + " of OpenSSL";
}

bool is_lack_of_memory(unsigned long error) noexcept { return ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE; }

// Returns true if the alert says that the certificate of this side, or the lack of one, is why the peer refuses.
bool is_about_certificate(int alert) noexcept {
  switch (alert) {
    case SSL_AD_NO_CERTIFICATE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

}  // namespace

void forget_openssl_errors() noexcept { ERR_clear_error(); }

absl::Status take_input_error() {
  const unsigned long error = take_first();
  if (is_lack_of_memory(error)) return status_from_errno(ENOMEM, "OpenSSL");
  return absl::InvalidArgumentError(reason_of(error));
}

absl::Status take_connection_error(const ssl_st* ssl) {
  const unsigned long error = take_first();
  if (is_lack_of_memory(error)) return status_from_errno(ENOMEM, "OpenSSL");
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) {
    return SSL_is_init_finished(ssl) != 0 ? absl::DataLossError(reason_of(error))
                                          : absl::AbortedError(reason_of(error));
  }
  const int reason = ERR_GET_REASON(error);
  if (reason >= SSL_AD_REASON_OFFSET) {  // an alert of the peer
    const std::string text = "the peer refuses: " + reason_of(error);
    return is_about_certificate(reason - SSL_AD_REASON_OFFSET) ? absl::PermissionDeniedError(text)
                                                               : absl::AbortedError(text);
  }
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    return absl::UnauthenticatedError("the peer's certificate is not accepted: " +
                                      std::string(X509_verify_cert_error_string(SSL_get_verify_result(ssl))));
  }
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    return absl::UnauthenticatedError("the peer has shown no certificate");
  }
  return SSL_is_init_finished(ssl) != 0 ? absl::DataLossError(reason_of(error)) : absl::AbortedError(reason_of(error));
}

}  // namespace baton::net
