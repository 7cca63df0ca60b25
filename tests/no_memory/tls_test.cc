// TLS with each allocation of baton's failing. (OpenSSL's own come from malloc.)
#include "failing_allocations.h"
#include "tls/certificates.h"

#include <baton/netpoll/net.h>
#include <baton/netpoll/tls.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>

#include <cerrno>
#include <string>
#include <utility>

namespace baton::test {
namespace {

using namespace std::chrono_literals;

struct contexts {
  contexts() {
    const baton_test::authority root("Test Root");
    const auto issued = root.issue("server");
    identity = net::tls_identity::from_pem(issued.chain, issued.key).value();
    ca_pem = root.pem();
    server = net::tls_context::server(identity, {.alpn = {"echo"}}).value();
    client = net::tls_context::client({.alpn = {"echo"}, .ca_pem = ca_pem}).value();
  }
  net::tls_identity identity;
  std::string ca_pem;
  net::tls_context server;
  net::tls_context client;
};

struct tcp_pair {
  tcp_pair() {
    auto l = net::tcp_listener::bind("127.0.0.1:0").value();
    client = net::dial(l.local_address().to_string()).value();
    server = l.accept().value();
  }
  net::tcp_stream client;
  net::tcp_stream server;
};

void expect_ok_or_no_memory(const absl::Status& s, bool failed) {
  EXPECT_TRUE(s.ok() || (failed && errno_of(s) == ENOMEM)) << s;
}

TEST(NoMemory, TlsContexts) {
  run([] {
    const contexts made;
    fail_each_allocation([&](failing_allocation& fails) {
      absl::Status server;
      absl::Status client;
      EXPECT_FALSE(fails.during([&] {
        server = net::tls_context::server(made.identity, {.alpn = {"a", "b"}, .identities = {made.identity}}).status();
        client = net::tls_context::client({.ca_pem = made.ca_pem}).status();
      }) && !fails.happened());
      expect_ok_or_no_memory(server, fails.happened());
      expect_ok_or_no_memory(client, fails.happened());
    });
  });
}

TEST(NoMemory, TlsHandshakes) {
  run([] {
    const contexts made;
    fail_each_allocation([&](failing_allocation& fails) {
      tcp_pair c;
      auto accepts = spawn([&] { return net::tls_stream::accept(std::move(c.server), made.server); });
      absl::StatusOr<net::tls_stream> client;
      const bool threw = fails.during(
          [&] { client = net::tls_stream::connect(std::move(c.client), made.client, "localhost", {.timeout = 1h}); });
      // Without any memory, a status has none either.
      EXPECT_TRUE(!threw || fails.happened());
      if (!threw) expect_ok_or_no_memory(client.status(), fails.happened());
      if (!client.ok()) client = absl::UnknownError("");
      c.client = net::tcp_stream();
      auto server = accepts.join();
      if (client.ok()) {
        ASSERT_TRUE(server.ok()) << server.status();
        EXPECT_TRUE(client->write("x").ok());
        char buffer[1];
        EXPECT_EQ(server->read(buffer).value(), 1U);
      }
    });
  });
}

TEST(NoMemory, TlsReadsAndWrites) {
  run([] {
    const contexts made;
    tcp_pair tcp;
    auto accepts = spawn([&] { return net::tls_stream::accept(std::move(tcp.server), made.server); });
    auto client = net::tls_stream::connect(std::move(tcp.client), made.client, "localhost").value();
    auto server = accepts.join().value();
    fail_each_allocation([&](failing_allocation& fails) {
      const const_bytes pieces[] = {"first", "second"};
      (void)fails.during([&] {
        // Those that succeed need no memory of baton's; the error of the last one does.
        EXPECT_TRUE(client.write("x").ok());
        EXPECT_TRUE(client.write_v(pieces).ok());
        EXPECT_TRUE(client.update_keys().ok());
        char buffer[12];
        EXPECT_EQ(server.read_full(buffer).value(), 12U);
        server.set_read_deadline(std::chrono::steady_clock::now());
        EXPECT_FALSE(server.read(buffer).ok());
      });
      server.set_read_deadline(std::chrono::steady_clock::time_point::max());
      char rest[64];
      while (true) {  // what a failure has left behind
        server.set_read_deadline(std::chrono::steady_clock::now() + 1ms);
        if (!server.read(rest).ok()) break;
      }
      server.set_read_deadline(std::chrono::steady_clock::time_point::max());
      EXPECT_TRUE(client.write("y").ok());
      EXPECT_EQ(server.read(rest).value(), 1U);
    });
  });
}

}  // namespace
}  // namespace baton::test
