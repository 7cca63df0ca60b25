// OpenSSL over blocking sockets, unmodified. Its queue of errors belongs to a thread.
#include "held_server.h"
#include "two_hundred.h"

#include <baton/runtime/run.h>

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cstdint>
#include <memory>
#include <string>

namespace {

using namespace baton_test;

std::shared_ptr<SSL_CTX> make_server_context() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  EXPECT_EQ(SSL_CTX_use_certificate(context.get(), certificate), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), key), 1);
  SSL_CTX_set_num_tickets(context.get(), 0);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}

class tls_echo : public protocol {
 public:
  explicit tls_echo(std::shared_ptr<SSL_CTX> context) : context_(std::move(context)), tls_(SSL_new(context_.get())) {
    SSL_set_bio(tls_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(tls_);
  }
  ~tls_echo() override { SSL_free(tls_); }
  tls_echo(const tls_echo&) = delete;
  tls_echo& operator=(const tls_echo&) = delete;

 private:
  std::string answer(std::string& in, bool& held) override {
    held = !in.empty();
    return std::exchange(in, {});
  }
  std::string from_socket(const std::string& bytes) override {
    BIO_write(SSL_get_rbio(tls_), bytes.data(), static_cast<int>(bytes.size()));
    std::string plain;
    char buffer[1024];
    int n = 0;
    while ((n = SSL_read(tls_, buffer, sizeof buffer)) > 0) plain.append(buffer, static_cast<std::size_t>(n));
    return plain;
  }
  std::string to_socket(const std::string& bytes) override {
    if (!bytes.empty()) SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()));
    std::string out;
    char buffer[4096];
    int n = 0;
    while ((n = BIO_read(SSL_get_wbio(tls_), buffer, sizeof buffer)) > 0)
      out.append(buffer, static_cast<std::size_t>(n));
    return out;
  }

  const std::shared_ptr<SSL_CTX> context_;
  SSL* const tls_;
};

int connected_socket(int port) {
  ::sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a.sin_port = htons(static_cast<std::uint16_t>(port));
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<::sockaddr*>(&a), sizeof a), 0);
  return fd;
}

TEST(Openssl, TwoHundredFibersWaitInSslRead) {
  held_server server(two_hundred, [context = make_server_context()] { return std::make_unique<tls_echo>(context); });
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  const auto call = [&](int i) {
    const int fd = connected_socket(server.port());
    SSL* const tls = SSL_new(context.get());
    SSL_set_fd(tls, fd);
    ASSERT_EQ(SSL_connect(tls), 1);
    // An error of this fiber's alone lies in the queue of its thread while it waits.
    ERR_clear_error();
    const std::string mine = "fiber " + std::to_string(i);
    ERR_raise_data(ERR_LIB_USER, 1 + i, "%s", mine.c_str());
    ASSERT_EQ(SSL_write(tls, mine.data(), static_cast<int>(mine.size())), static_cast<int>(mine.size()));
    char got[64];
    const int n = SSL_peek(tls, got, sizeof got);
    EXPECT_EQ(std::string(got, static_cast<std::size_t>(n > 0 ? n : 0)), mine);
    EXPECT_EQ(ERR_GET_REASON(ERR_get_error()), 1 + i);
    EXPECT_EQ(ERR_get_error(), 0U);
    SSL_free(tls);
    ::close(fd);
  };
  baton::run([&] { call_from_two_hundred(call, server); });
}

}  // namespace
