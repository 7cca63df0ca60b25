// Which peers a handshake accepts, and what the other side learns.
#include "raw_peer.h"
#include "tls_test_support.h"

#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/stats.h>

#include <algorithm>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

using absl::StatusCode;

constexpr const char* refused_certificate = "the peer's certificate is not accepted";

TEST(TlsHandshake, FindsOutVersionCipherAndNames) {
  run([] {
    for (const tls_version version : {tls_version::tls1_2, tls_version::tls1_3}) {
      tls_connection c = connect_tls(version);
      EXPECT_EQ(c.client.version(), version);
      EXPECT_EQ(c.server.version(), version);
      EXPECT_EQ(c.client.cipher(), c.server.cipher());
      EXPECT_FALSE(c.client.cipher().empty());
      EXPECT_EQ(c.server.server_name(), "localhost");
      EXPECT_EQ(c.client.server_name(), "localhost");
      EXPECT_EQ(c.client.negotiated_protocol(), "");
      EXPECT_FALSE(c.client.is_resumed());
      EXPECT_EQ(c.client.remote_address(), c.server.local_address());
      EXPECT_FALSE(c.server.peer_certificate().has_value());
      const auto certificate = c.client.peer_certificate();
      ASSERT_TRUE(certificate.has_value());
      EXPECT_EQ(certificate->subject, "CN=server");
      EXPECT_EQ(certificate->issuer, "CN=Test Root");
      EXPECT_EQ(certificate->dns_names, std::vector<std::string>{"localhost"});
      EXPECT_LT(certificate->not_before, std::chrono::system_clock::now());
      EXPECT_GT(certificate->not_after, std::chrono::system_clock::now());
      EXPECT_EQ(certificate->sha256.size(), 64U);
      EXPECT_FALSE(certificate->der.empty());
      c.client.close();
      EXPECT_EQ(c.client.peer_certificate()->subject, "CN=server");
    }
  });
}

TEST(TlsHandshake, VerifiesTheName) {
  run([] {
    const tls_context server = server_context();
    const tls_context client = client_context();
    EXPECT_TRUE(attempt(server, client, "localhost").client.ok());
    EXPECT_TRUE(attempt(server, client, "localhost.").client.ok());
    EXPECT_TRUE(attempt(server, client, "127.0.0.1").client.ok());
    for (const char* other : {"example.org", "127.0.0.2", "::1", "xlocalhost", "local.localhost"}) {
      tls_attempt both = attempt(server, client, other);
      expect_code(both.client.status(), StatusCode::kUnauthenticated, refused_certificate);
      expect_code(both.client.status(), StatusCode::kUnauthenticated, std::string("(") + other + ")");
      expect_code(both.client.status(), StatusCode::kUnauthenticated, "mismatch");
      EXPECT_FALSE(both.server.ok()) << other;  // it has got an alert
    }
    EXPECT_EQ(attempt(server, client, "").client.status().code(), StatusCode::kInvalidArgument);
    for (const char* none : {"a b", "https://localhost", "localhost:443", "0x7f.1", "127.1"}) {
      EXPECT_EQ(attempt(server, client, none).client.status().code(), StatusCode::kInvalidArgument) << none;
    }
    EXPECT_EQ(attempt(server, client, std::string("localhost\0x", 11)).client.status().code(),
              StatusCode::kInvalidArgument);
  });
}

TEST(TlsHandshake, RefusesCertificatesThatAreNotValid) {
  run([] {
    const auto& root = known().root;
    const baton_test::authority stranger("Test Root");
    const baton_test::authority below("Intermediate", root);
    struct attempted {
      baton_test::issued_certificate certificate;
      const char* reason;
    };
    const attempted all[] = {
        {root.issue("late", {.begins_in_s = -7200, .ends_in_s = -3600}), "expired"},
        {root.issue("early", {.begins_in_s = 3600, .ends_in_s = 7200}), "not yet valid"},
        {baton_test::self_signed("localhost"), "self-signed"},
        {stranger.issue("wrong authority"), "certificate"},
    };
    for (const attempted& one : all) {
      const tls_context server = must(tls_context::server(identity_of(one.certificate)));
      tls_attempt both = attempt(server, client_context());
      expect_code(both.client.status(), StatusCode::kUnauthenticated, refused_certificate);
      expect_code(both.client.status(), StatusCode::kUnauthenticated, one.reason);
      expect_code(both.server.status(), StatusCode::kPermissionDenied, "the peer refuses");
      // Without verification the certificate does not matter.
      EXPECT_TRUE(attempt(server, client_context({.verify = tls_verify::none})).client.ok()) << one.reason;
    }
    const tls_context good = must(tls_context::server(identity_of(below.issue("below"))));
    EXPECT_TRUE(attempt(good, client_context()).client.ok());
    // The certificate of the one between is missing.
    baton_test::issued_certificate alone = below.issue("below");
    alone.chain.resize(alone.chain.find("-----END CERTIFICATE-----") + 26);
    expect_code(attempt(must(tls_context::server(identity_of(alone))), client_context()).client.status(),
                StatusCode::kUnauthenticated, refused_certificate);
  });
}

TEST(TlsHandshake, TrustsWhatTheSystemTrustsByDefault) {
  run([] {
    const tls_context client = must(tls_context::client());
    expect_code(attempt(server_context(), client).client.status(), StatusCode::kUnauthenticated, refused_certificate);
  });
}

// In TLS 1.3 the client has finished before the server has looked at its certificate: the first read fails.
absl::Status end_for_client(tls_attempt& both) {
  if (!both.client.ok()) return both.client.status();
  char buffer[1];
  return both.client->read(buffer).status();
}

TEST(TlsHandshake, AsksForClientCertificates) {
  run([] {
    const baton_test::authority stranger("Stranger");
    for (const tls_version version : {tls_version::tls1_2, tls_version::tls1_3}) {
      tls_options client;
      client.max_version = version;
      const tls_context anonymous = client_context(client);
      client.identities = {identity_of(known().client)};
      const tls_context known_client = client_context(client);
      client.identities = {identity_of(stranger.issue("client"))};
      const tls_context unknown_client = client_context(client);

      const tls_options asks{.ca_pem = known().root.pem(), .verify = tls_verify::request};
      const tls_options requires_one{.ca_pem = known().root.pem(), .verify = tls_verify::require};
      EXPECT_FALSE(attempt(server_context(asks), anonymous).server->peer_certificate().has_value());
      EXPECT_EQ(attempt(server_context(asks), known_client).server->peer_certificate()->subject, "CN=client");
      EXPECT_EQ(attempt(server_context(requires_one), known_client).server->peer_certificate()->subject, "CN=client");
      EXPECT_FALSE(attempt(server_context(), known_client).server->peer_certificate().has_value());

      tls_attempt none = attempt(server_context(requires_one), anonymous);
      expect_code(none.server.status(), StatusCode::kUnauthenticated, "the peer has shown no certificate");
      EXPECT_FALSE(end_for_client(none).ok());
      if (version == tls_version::tls1_3) expect_code(end_for_client(none), StatusCode::kPermissionDenied, "refuses");
      for (const tls_options& options : {asks, requires_one}) {
        tls_attempt wrong = attempt(server_context(options), unknown_client);
        expect_code(wrong.server.status(), StatusCode::kUnauthenticated, refused_certificate);
        expect_code(end_for_client(wrong), StatusCode::kPermissionDenied, "refuses");
      }
    }
  });
}

TEST(TlsHandshake, AgreesOnAProtocol) {
  run([] {
    const tls_context server = server_context({.alpn = {"h2", "http/1.1"}});
    const auto agreed = [&](std::vector<std::string> offered) {
      tls_connection c = connect_tls(server, client_context({.alpn = std::move(offered)}));
      EXPECT_EQ(c.client.negotiated_protocol(), c.server.negotiated_protocol());
      return c.client.negotiated_protocol();
    };
    EXPECT_EQ(agreed({"http/1.1", "h2"}), "h2");  // the server's preference
    EXPECT_EQ(agreed({"spdy/3", "http/1.1"}), "http/1.1");
    EXPECT_EQ(agreed({}), "");
    tls_attempt none = attempt(server, client_context({.alpn = {"spdy/3"}}));
    expect_code(none.server.status(), StatusCode::kAborted, "no application protocol");
    expect_code(none.client.status(), StatusCode::kAborted, "no application protocol");
    // A server without protocols ignores those of a client.
    tls_connection c = connect_tls(server_context(), client_context({.alpn = {"h2"}}));
    EXPECT_EQ(c.client.negotiated_protocol(), "");
  });
}

TEST(TlsHandshake, RefusesVersionsOutOfRange) {
  run([] {
    tls_attempt both = attempt(server_context({.min_version = tls_version::tls1_3}),
                               client_context({.max_version = tls_version::tls1_2}));
    expect_code(both.server.status(), StatusCode::kAborted, "protocol");
    expect_code(both.client.status(), StatusCode::kAborted, "version");

    connection c = connect();
    auto old = spawn([&, s = std::move(c.client)]() mutable {
      const raw_context context = raw_client_context(TLS1_1_VERSION);
      SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
      SSL_CTX_set_security_level(context.get(), 0);
      return raw_peer(std::move(s), context, raw_peer::role::client).shake_hands();
    });
    EXPECT_EQ(tls_stream::accept(std::move(c.server), server_context()).status().code(), StatusCode::kAborted);
    EXPECT_FALSE(old.join());
  });
}

TEST(TlsHandshake, ChoosesTheCertificateByName) {
  run([] {
    const auto& root = known().root;
    const auto of = [&](const char* name) {
      return identity_of(root.issue(name, {.names = {std::string("DNS:") + name}}));
    };
    for (const tls_version version : {tls_version::tls1_2, tls_version::tls1_3}) {
      const tls_context server =
          server_context({.max_version = version, .identities = {of("a.example"), of("*.b.example")}});
      const tls_context client = client_context();
      const auto subject = [&](const char* name) {
        return connect_tls(server, client, name).client.peer_certificate();
      };
      EXPECT_EQ(subject("a.example")->subject, "CN=a.example");
      EXPECT_EQ(subject("A.Example")->subject, "CN=a.example");
      EXPECT_EQ(subject("x.b.example")->subject, "CN=*.b.example");
      EXPECT_EQ(subject("localhost")->subject, "CN=server");
      EXPECT_EQ(subject("127.0.0.1")->subject, "CN=server");  // no name is sent
      // No certificate has this name: the client gets the first one, and refuses it.
      expect_code(attempt(server, client, "c.example").client.status(), StatusCode::kUnauthenticated, "mismatch");
    }
  });
}

// Reads once, so that a ticket that the server has sent is there.
void exchange(tls_connection& c) {
  char buffer[8];
  must(c.server.write("x"));
  EXPECT_EQ(must(c.client.read(buffer)), 1U);
}

TEST(TlsHandshake, ResumesSessions) {
  run([] {
    for (const tls_version version : {tls_version::tls1_2, tls_version::tls1_3}) {
      const tls_context client = client_context({.max_version = version, .identities = {identity_of(known().client)}});
      const tls_context server = server_context({.ca_pem = known().root.pem(), .verify = tls_verify::require});
      for (int i = 0; i < 5; ++i) {
        tls_connection c = connect_tls(server, client);
        EXPECT_EQ(c.client.is_resumed(), i > 0);
        EXPECT_EQ(c.server.is_resumed(), i > 0);
        EXPECT_EQ(c.client.peer_certificate()->subject, "CN=server");
        EXPECT_EQ(c.server.peer_certificate()->subject, "CN=client");
        exchange(c);
      }
      // Another name is another session, also with the same server.
      EXPECT_FALSE(connect_tls(server, client, "127.0.0.1").client.is_resumed());
      // Another server cannot read the ticket.
      EXPECT_FALSE(connect_tls(server_context(), client).client.is_resumed());
    }
  });
}

TEST(TlsHandshake, DoesNotResumeWithoutTickets) {
  run([] {
    const tls_options off{.session_tickets = false};
    for (const bool of_server : {true, false}) {
      const tls_context server = server_context(of_server ? off : tls_options{});
      const tls_context client = client_context(of_server ? tls_options{} : off);
      for (int i = 0; i < 3; ++i) {
        tls_connection c = connect_tls(server, client);
        EXPECT_FALSE(c.client.is_resumed());
        exchange(c);
      }
    }
  });
}

TEST(TlsHandshake, SaysWhenThePeerDoesNotSpeakTls) {
  run([] {
    for (const std::string& words : {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                                     std::string("\x16\x03\x01\x60\x01") + "garbage", std::string(200, '\x80')}) {
      connection c = connect();
      must(c.client.write(words));
      expect_code(tls_stream::accept(std::move(c.server), server_context()).status(), StatusCode::kAborted,
                  "tls handshake");
      connection d = connect();
      must(d.server.write(words));
      expect_code(tls_stream::connect(std::move(d.client), client_context(), "localhost").status(),
                  StatusCode::kAborted, "tls handshake");
    }
  });
}

TEST(TlsHandshake, SaysWhenThePeerCloses) {
  run([] {
    connection c = connect();
    c.client.close();
    expect_code(tls_stream::accept(std::move(c.server), server_context()).status(), StatusCode::kUnavailable,
                "the peer has closed the connection");
    connection d = connect();
    EXPECT_TRUE(d.server.close_write().ok());
    expect_code(tls_stream::connect(std::move(d.client), client_context(), "localhost").status(),
                StatusCode::kUnavailable, "(localhost)");
  });
}

TEST(TlsHandshake, EndsAfterItsTimeout) {
  run([] {
    connection c = connect();
    expect_code(tls_stream::accept(std::move(c.server), server_context(), {.timeout = 20ms}).status(),
                StatusCode::kDeadlineExceeded, "tls handshake");
    connection d = connect();
    expect_code(tls_stream::connect(std::move(d.client), client_context(), "localhost", {.timeout = 0ms}).status(),
                StatusCode::kDeadlineExceeded, "tls handshake");
  });
}

TEST(TlsHandshake, EndsWithItsContext) {
  run([] {
    const cancellable_context ctx = with_cancel(context::background());
    connection c = connect();
    tcp_stream& server = c.server;
    descriptor& io = test_access::io(server);
    auto accepted =
        spawn([&] { return tls_stream::accept(std::move(server), server_context(), {.ctx = ctx}).status(); });
    until([&] { return io.has_waiter(poll_side::read); });
    ctx.cancel(absl::UnavailableError("drained"));
    expect_code(accepted.join(), StatusCode::kUnavailable, "drained");
  });
}

TEST(TlsHandshake, LimitsEndWithIt) {
  run([] {
    const cancellable_context ctx = with_cancel(context::background());
    const tls_context server_side = server_context();
    const tls_context client_side = client_context();
    connection c = connect();
    auto accepted = spawn([&] {
      return must(tls_stream::accept(std::move(c.server), server_side, {.timeout = std::chrono::hours(1), .ctx = ctx}));
    });
    tls_stream client = must(tls_stream::connect(std::move(c.client), client_side, "localhost"));
    tls_stream server = accepted.join();
    ctx.cancel();
    must(server.write("x"));
    char buffer[1];
    EXPECT_EQ(must(client.read(buffer)), 1U);
  });
}

// Without limits of its own the handshake leaves the stream's alone.
TEST(TlsHandshake, KeepsTheLimitsOfTheStream) {
  run([] {
    connection c = connect();
    c.server.set_deadline(clock::now() + 20ms);
    expect_code(
        tls_stream::accept(std::move(c.server), server_context(), {.timeout = std::chrono::hours::max()}).status(),
        StatusCode::kDeadlineExceeded);
  });
}

TEST(TlsHandshake, SlowClientsHoldNoThread) {
  run([] {
    constexpr std::size_t count = 200;
    const tls_context server = server_context();
    const tls_context client = client_context();
    tcp_listener l = listen();
    const cancellable_context patience = with_cancel(context::background());
    std::vector<tcp_stream> slow;
    std::vector<fiber<absl::Status>> waiting;
    for (std::size_t i = 0; i < count; ++i) {
      connection c = connect(l);
      if (i % 2 == 0) must(c.client.write("\x16\x03\x01"));  // some begin
      descriptor* const io = &test_access::io(c.server);
      waiting.push_back(spawn([&, s = std::move(c.server)]() mutable {
        return tls_stream::accept(std::move(s), server, {.timeout = std::chrono::hours(1), .ctx = patience}).status();
      }));
      until([io] { return io->has_waiter(poll_side::read); });
      slow.push_back(std::move(c.client));
    }
    EXPECT_LT(stats().threads, count / 4);
    // Others are served meanwhile.
    tls_connection c = connect_tls(server, client);
    exchange(c);
    patience.cancel(absl::DeadlineExceededError("too slow"));
    for (auto& f : waiting) expect_code(f.join(), StatusCode::kDeadlineExceeded, "too slow");
  });
}

TEST(TlsHandshake, RefusesTheWrongContext) {
  run([] {
    expect_code(attempt(client_context(), client_context()).server.status(), StatusCode::kInvalidArgument, "clients");
    expect_code(attempt(server_context(), server_context()).client.status(), StatusCode::kInvalidArgument, "servers");
    expect_code(attempt({}, {}).client.status(), StatusCode::kFailedPrecondition, "not open");
    expect_code(tls_stream::connect({}, client_context(), "localhost").status(), StatusCode::kFailedPrecondition,
                "not open");
  });
}

TEST(TlsHandshake, ManyAtOnce) {
  run([] {
    const tls_context server = server_context();
    const tls_context client = client_context();
    std::vector<fiber<void>> all;
    for (int i = 0; i < 50; ++i) {
      all.push_back(spawn([&] {
        for (int k = 0; k < 3; ++k) {
          tls_connection c = connect_tls(server, client);
          exchange(c);
        }
      }));
    }
    for (auto& f : all) f.join();
  });
}

}  // namespace
}  // namespace baton::net::test
