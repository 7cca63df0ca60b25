// Certificates, keys and options that are wrong.
#include "tls_test_support.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <cerrno>
#include <string>

namespace baton::net::test {
namespace {

using absl::StatusCode;

TEST(TlsContext, ReadsFiles) {
  run([] {
    const baton_test::temporary_folder folder;
    const auto& c = known().server;
    const std::string chain = folder.file("chain.pem", c.chain);
    const std::string key = folder.file("key.pem", c.key);
    const std::string both = folder.file("both.pem", c.key + c.chain);
    const std::string root = folder.file("root.pem", "a comment\n" + known().root.pem());
    for (const tls_context& server : {must(tls_context::server(chain, key)), must(tls_context::server(both, both)),
                                      must(tls_context::server(must(tls_identity::from_files(chain, key))))}) {
      EXPECT_TRUE(attempt(server, must(tls_context::client({.ca_file = root}))).client.ok());
    }
  });
}

TEST(TlsContext, SaysWhichFileIsWrong) {
  run([] {
    const baton_test::temporary_folder folder;
    const auto& c = known().server;
    const std::string chain = folder.file("chain.pem", c.chain);
    const std::string key = folder.file("key.pem", c.key);
    const std::string other = folder.file("other.pem", known().client.key);
    const std::string empty = folder.file("empty.pem", "");
    std::string damaged_chain = c.chain;
    damaged_chain.replace(100, 8, "AAAAAAAA");
    const std::string damaged = folder.file("damaged.pem", damaged_chain);
    const std::string half = folder.file("half.pem", c.chain.substr(0, c.chain.size() / 2));
    const auto status = [](const std::string& a, const std::string& b) { return tls_context::server(a, b).status(); };

    EXPECT_EQ(errno_of(status(folder.path("none"), key)), ENOENT);
    expect_code(status(folder.path("none"), key), StatusCode::kNotFound, folder.path("none"));
    EXPECT_EQ(errno_of(status(chain, folder.path("none"))), ENOENT);
    EXPECT_EQ(errno_of(status(folder.path(""), key)), EISDIR);
    EXPECT_EQ(errno_of(status(std::string("a\0b", 3), key)), EINVAL);
    expect_code(status(empty, key), StatusCode::kInvalidArgument, empty + ": there is none in PEM form");
    expect_code(status(chain, empty), StatusCode::kInvalidArgument, empty + ": there is none in PEM form");
    expect_code(status(key, chain), StatusCode::kInvalidArgument, key);
    expect_code(status(chain, other), StatusCode::kInvalidArgument, "does not belong to the certificate of " + chain);
    expect_code(status(damaged, key), StatusCode::kInvalidArgument, damaged);
    expect_code(status(half, key), StatusCode::kInvalidArgument, half);
    EXPECT_EQ(errno_of(tls_context::client({.ca_file = folder.path("none")}).status()), ENOENT);
    expect_code(tls_context::client({.ca_file = empty}).status(), StatusCode::kInvalidArgument, empty);
    expect_code(tls_context::client({.ca_pem = "nonsense"}).status(), StatusCode::kInvalidArgument, "ca_pem");
  });
}

// OpenSSL would ask at the terminal for the password.
TEST(TlsContext, RefusesEncryptedKeys) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  BIO* const out = BIO_new(BIO_s_mem());
  unsigned char password[] = "secret";
  ASSERT_EQ(PEM_write_bio_PrivateKey(out, key, EVP_aes_256_cbc(), password, 6, nullptr, nullptr), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  const std::string encrypted(data, static_cast<std::size_t>(size));
  BIO_free(out);
  EVP_PKEY_free(key);
  expect_code(tls_identity::from_pem(known().server.chain, encrypted).status(), StatusCode::kInvalidArgument,
              "the key: it is encrypted");
}

TEST(TlsContext, RefusesOptionsThatContradictEachOther) {
  const tls_identity server = identity_of(known().server);
  const auto refused = [&](const tls_options& options, const std::string& text) {
    expect_code(tls_context::server(server, options).status(), StatusCode::kInvalidArgument, text);
  };
  refused({.min_version = tls_version::tls1_3, .max_version = tls_version::tls1_2}, "min_version");
  refused({.alpn = {""}}, "ALPN");
  refused({.alpn = {std::string(256, 'x')}}, "ALPN");
  refused({.alpn = std::vector<std::string>(300, std::string(255, 'x'))}, "ALPN");
  refused({.verify = tls_verify::require}, "ca_file");
  refused({.identities = {tls_identity()}}, "empty");
  expect_code(tls_context::server(tls_identity()).status(), StatusCode::kInvalidArgument, "empty");
  expect_code(tls_context::client({.verify = tls_verify::request}).status(), StatusCode::kInvalidArgument, "request");
}

TEST(TlsContext, LeavesNoErrorsBehind) {
  const baton_test::temporary_folder folder;
  (void)tls_context::server(folder.file("a", "x"), folder.file("b", "y"));
  (void)tls_context::client({.ca_pem = "nonsense"});
  EXPECT_EQ(ERR_peek_error(), 0U);
}

}  // namespace
}  // namespace baton::net::test
