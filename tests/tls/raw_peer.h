// A peer that is OpenSSL itself over a TCP stream, so that a test decides about each of its bytes. One fiber uses it.
#pragma once

#include "tls_test_support.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace baton::net::test {

using raw_context = std::shared_ptr<SSL_CTX>;

inline raw_context raw_client_context(int version = TLS1_3_VERSION) {
  raw_context made(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_max_proto_version(made.get(), version);
  return made;
}

inline raw_context raw_server_context(const baton_test::issued_certificate& c, int version = TLS1_3_VERSION) {
  raw_context made(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_set_max_proto_version(made.get(), version);
  BIO* const chain = BIO_new_mem_buf(c.chain.data(), static_cast<int>(c.chain.size()));
  BIO* const key = BIO_new_mem_buf(c.key.data(), static_cast<int>(c.key.size()));
  X509* const certificate = PEM_read_bio_X509(chain, nullptr, nullptr, nullptr);
  EVP_PKEY* const private_key = PEM_read_bio_PrivateKey(key, nullptr, nullptr, nullptr);
  EXPECT_EQ(SSL_CTX_use_certificate(made.get(), certificate), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(made.get(), private_key), 1);
  X509_free(certificate);
  EVP_PKEY_free(private_key);
  BIO_free(chain);
  BIO_free(key);
  return made;
}

class raw_peer {
 public:
  enum class role { server, client };

  raw_peer(tcp_stream stream, raw_context context, role as)
      : tcp(std::move(stream)), context_(std::move(context)), ssl_(SSL_new(context_.get()), SSL_free) {
    SSL_set_bio(ssl(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (as == role::server) {
      SSL_set_accept_state(ssl());
    } else {
      SSL_set_connect_state(ssl());
    }
  }

  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }

  // Returns false if the other side ends it.
  bool shake_hands() {
    for (;;) {
      ERR_clear_error();
      const int returned = SSL_do_handshake(ssl());
      const bool wants = returned != 1 && SSL_get_error(ssl(), returned) == SSL_ERROR_WANT_READ;
      send_output();
      if (!wants) return returned == 1;
      if (!receive()) return false;
    }
  }

  void write(std::string_view text) {
    ERR_clear_error();
    EXPECT_EQ(SSL_write(ssl(), text.data(), static_cast<int>(text.size())), static_cast<int>(text.size()));
    send_output();
  }

  // Returns what comes next; empty: the end, or an error.
  std::string read() {
    for (;;) {
      char buffer[16 * 1024];
      ERR_clear_error();
      const int n = SSL_read(ssl(), buffer, sizeof buffer);
      if (n > 0) return {buffer, static_cast<std::size_t>(n)};
      if (SSL_get_error(ssl(), n) != SSL_ERROR_WANT_READ || !receive()) return {};
    }
  }

  // What OpenSSL has put out, which is then not sent.
  std::string take_output() {
    std::string all;
    char buffer[16 * 1024];
    for (int n = 0; (n = BIO_read(SSL_get_wbio(ssl()), buffer, sizeof buffer)) > 0;) {
      all.append(buffer, static_cast<std::size_t>(n));
    }
    return all;
  }
  void send_output() {
    const std::string all = take_output();
    if (!all.empty()) (void)tcp.write(all);
  }
  // Returns false at the end of the TCP stream.
  bool receive() {
    char buffer[16 * 1024];
    const auto n = tcp.read(buffer);
    if (!n.ok() || *n == 0) return false;
    BIO_write(SSL_get_rbio(ssl()), buffer, static_cast<int>(*n));
    return true;
  }

  tcp_stream tcp;

 private:
  raw_context context_;
  std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
};

}  // namespace baton::net::test
