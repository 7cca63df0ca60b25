// What the tests of TLS share.
#pragma once

#include "netpoll/net_test_support.h"
#include "tls/certificates.h"

#include <baton/netpoll/tls.h>
#include <baton/netpoll/tls/tls_state.h>

#include <gtest/gtest.h>
#include <string>
#include <utility>

namespace baton::net::test {

// The certificates that most tests use. Made once.
struct authorities {
  baton_test::authority root{"Test Root"};
  baton_test::issued_certificate server = root.issue("server");
  baton_test::issued_certificate client = root.issue("client");
};
inline const authorities& known() {
  static const authorities& made = *new authorities;
  return made;
}

inline tls_identity identity_of(const baton_test::issued_certificate& c) {
  return must(tls_identity::from_pem(c.chain, c.key));
}

inline tls_context server_context(const tls_options& options = {}) {
  return must(tls_context::server(identity_of(known().server), options));
}

// Trusts the test's authority, unless the options name another one.
inline tls_context client_context(tls_options options = {}) {
  if (options.ca_pem.empty() && options.ca_file.empty()) options.ca_pem = known().root.pem();
  return must(tls_context::client(options));
}

struct tls_attempt {
  absl::StatusOr<tls_stream> client = absl::UnknownError("");
  absl::StatusOr<tls_stream> server = absl::UnknownError("");
};

inline tls_attempt attempt(const tls_context& server, const tls_context& client,
                           const std::string& name = "localhost") {
  connection c = connect();
  auto accepted = spawn([&, s = std::move(c.server)]() mutable { return tls_stream::accept(std::move(s), server); });
  tls_attempt both;
  both.client = tls_stream::connect(std::move(c.client), client, name);
  both.server = accepted.join();
  return both;
}

struct tls_connection {
  tls_stream client;
  tls_stream server;
};

inline tls_connection connect_tls(const tls_context& server, const tls_context& client,
                                  const std::string& name = "localhost") {
  tls_attempt both = attempt(server, client, name);
  return {must(std::move(both.client)), must(std::move(both.server))};
}

inline tls_connection connect_tls(tls_version version = tls_version::tls1_3) {
  tls_options options;
  options.max_version = version;
  return connect_tls(server_context(options), client_context(options));
}

// Bytes that do not repeat soon.
inline std::string pattern(std::size_t size) {
  std::string s(size, '\0');
  unsigned x = 1;
  for (char& c : s) {
    x = x * 1664525U + 1013904223U;
    c = static_cast<char>(x >> 24);
  }
  return s;
}

inline void expect_code(const absl::Status& s, absl::StatusCode code, const std::string& text = {}) {
  EXPECT_EQ(s.code(), code) << s;
  EXPECT_NE(std::string(s.message()).find(text), std::string::npos) << s;
}

}  // namespace baton::net::test
