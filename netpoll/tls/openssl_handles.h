// Owners of OpenSSL's objects. Internal to netpoll/tls.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <memory>

namespace baton::net {

template <auto Free>
struct openssl_free {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
inline void free_certificates(STACK_OF(X509) * all) noexcept { sk_X509_pop_free(all, X509_free); }

using bio_handle = std::unique_ptr<BIO, openssl_free<&BIO_free>>;
using certificate_handle = std::unique_ptr<X509, openssl_free<&X509_free>>;
using certificates_handle = std::unique_ptr<STACK_OF(X509), openssl_free<&free_certificates>>;
using key_handle = std::unique_ptr<EVP_PKEY, openssl_free<&EVP_PKEY_free>>;
using session_handle = std::unique_ptr<SSL_SESSION, openssl_free<&SSL_SESSION_free>>;
using ssl_handle = std::unique_ptr<SSL, openssl_free<&SSL_free>>;
using ssl_ctx_handle = std::unique_ptr<SSL_CTX, openssl_free<&SSL_CTX_free>>;

}  // namespace baton::net
