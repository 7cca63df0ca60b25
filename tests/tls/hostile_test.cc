// Peers that break the rules, byte by byte.
#include "netpoll/hostile_proxy.h"
#include "raw_peer.h"
#include "tls_test_support.h"

#include <baton/runtime/event.h>

#include <sys/ioctl.h>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

namespace baton::net::test {
namespace {

using absl::StatusCode;

// A tls_stream as the server, and OpenSSL as the client that a test plays.
struct against_client {
  explicit against_client(int version = TLS1_3_VERSION, const raw_context& context = nullptr) {
    connection c = connect();
    peer = std::make_unique<raw_peer>(std::move(c.client), context == nullptr ? raw_client_context(version) : context,
                                      raw_peer::role::client);
    auto done = spawn([this] { EXPECT_TRUE(peer->shake_hands()); });
    server = must(tls_stream::accept(std::move(c.server), server_context()));
    done.join();
  }

  std::unique_ptr<raw_peer> peer;
  tls_stream server;
};

TEST(TlsHostile, DamagedRecordsAreDataLoss) {
  run([] {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      for (const std::size_t at : {0U, 1U, 4U, 5U, 20U}) {  // type, version, length, what is encrypted
        against_client t(version);
        t.peer->write("good");
        SSL_write(t.peer->ssl(), std::string(100, 'x').data(), 100);
        std::string record = t.peer->take_output();
        record[at] = static_cast<char>(record[at] ^ 0x40);
        must(t.peer->tcp.write(record));
        EXPECT_TRUE(t.peer->tcp.close_write().ok());
        char buffer[4];
        EXPECT_EQ(must(t.server.read_full(buffer)), 4U);
        const absl::Status end = t.server.read(buffer).status();
        EXPECT_TRUE(absl::IsDataLoss(end) || absl::IsAborted(end)) << at << ": " << end;
        // Later calls get the same error.
        EXPECT_EQ(t.server.read(buffer).status().code(), end.code());
        EXPECT_EQ(t.server.write("x").status().code(), end.code());
        EXPECT_FALSE(t.server.close_write().ok());
      }
    }
  });
}

TEST(TlsHostile, GarbageIsDataLoss) {
  run([] {
    against_client t;
    must(t.peer->tcp.write(std::string(1000, 'g')));
    char buffer[4];
    const absl::Status end = t.server.read(buffer).status();
    EXPECT_TRUE(absl::IsDataLoss(end) || absl::IsAborted(end)) << end;
    EXPECT_EQ(t.peer->read(), "");  // an alert
  });
}

TEST(TlsHostile, RenegotiationIsRefused) {
  run([] {
    const raw_context context = raw_client_context(TLS1_2_VERSION);
    SSL_CTX_set_options(context.get(), SSL_OP_LEGACY_SERVER_CONNECT);
    against_client t(TLS1_2_VERSION, context);
    t.peer->write("before");
    char buffer[6];
    EXPECT_EQ(must(t.server.read_full(buffer)), 6U);
    ASSERT_EQ(SSL_renegotiate(t.peer->ssl()), 1);
    EXPECT_NE(SSL_do_handshake(t.peer->ssl()), 1);
    t.peer->send_output();
    expect_code(t.server.read(buffer).status(), StatusCode::kAborted, "renegotiation");
    expect_code(t.server.write("x").status(), StatusCode::kAborted, "renegotiation");
    EXPECT_EQ(t.peer->read(), "");
    EXPECT_NE(SSL_is_init_finished(t.peer->ssl()), 1);  // it has not got what it asked for
  });
}

TEST(TlsHostile, AServerCannotRenegotiateEither) {
  run([] {
    connection c = connect();
    raw_peer peer(std::move(c.server), raw_server_context(known().server, TLS1_2_VERSION), raw_peer::role::server);
    auto done = spawn([&] { EXPECT_TRUE(peer.shake_hands()); });
    tls_stream client = must(tls_stream::connect(std::move(c.client), client_context(), "localhost"));
    done.join();
    ASSERT_EQ(SSL_renegotiate(peer.ssl()), 1);
    SSL_do_handshake(peer.ssl());
    peer.send_output();
    char buffer[6];
    expect_code(client.read(buffer).status(), StatusCode::kAborted, "renegotiation");
  });
}

TEST(TlsHostile, AnswersKeyUpdates) {
  run([] {
    against_client t;
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(SSL_key_update(t.peer->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
      t.peer->write("new key");
      char buffer[7];
      EXPECT_EQ(must(t.server.read_full(buffer)), 7U);
      must(t.server.write("answer"));
      std::string got;
      while (got.size() < 6) got += t.peer->read();
      EXPECT_EQ(got, "answer");
    }
  });
}

// A peer that asks for new keys, and never reads, does not make this side use more and more memory.
TEST(TlsHostile, EndlessKeyUpdatesHaveALimit) {
  run([] {
    against_client t;
    const int size = 4096;
    ::setsockopt(t.server.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    ::setsockopt(t.peer->tcp.native_handle(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    auto reader = spawn([&] {
      char buffer[1];
      return t.server.read(buffer).status();
    });
    auto flood = spawn([&] {
      for (int i = 0; i < 50'000; ++i) {
        if (SSL_key_update(t.peer->ssl(), SSL_KEY_UPDATE_REQUESTED) != 1) return;
        if (SSL_do_handshake(t.peer->ssl()) != 1) return;
        if (i % 100 == 99 && !t.peer->tcp.write(t.peer->take_output()).ok()) return;
      }
      t.peer->tcp.close();
    });
    const absl::Status end = reader.join();
    EXPECT_FALSE(end.ok());
    t.server.close();
    flood.join();
  });
}

TEST(TlsHostile, APeerThatResetsTheConnectionIsAnErrno) {
  run([] {
    against_client t;
    const linger at_once{1, 0};
    ::setsockopt(t.peer->tcp.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    auto reader = spawn([&] {
      char buffer[1];
      return t.server.read(buffer).status();
    });
    until_reader_waits(t.server);
    t.peer->tcp.close();
    EXPECT_EQ(errno_of(reader.join()), ECONNRESET);
  });
}

// A connection whose server has a ticket ready that is longer than a record may be: it comes in parts.
struct server_with_a_long_ticket {
  server_with_a_long_ticket() {
    auto done = spawn([this] { EXPECT_TRUE(peer.shake_hands()); });
    const auto large = identity_of(known().root.issue("client", {.padding = 2000}));
    client = must(tls_stream::connect(std::move(c.client), client_context({.identities = {large}}), "localhost"));
    done.join();
    EXPECT_EQ(SSL_new_session_ticket(peer.ssl()), 1);
    EXPECT_EQ(SSL_do_handshake(peer.ssl()), 1);
  }
  static raw_context small_records() {
    raw_context context = raw_server_context(known().server);
    SSL_CTX_set_max_send_fragment(context.get(), 512);
    SSL_CTX_set_num_tickets(context.get(), 0);
    // The client's certificate is in the ticket.
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
    return context;
  }
  connection c = connect();
  const raw_context context = small_records();
  raw_peer peer{std::move(c.server), context, raw_peer::role::server};
  tls_stream client;
};

// While one part is missing OpenSSL encrypts nothing, so a write waits for the rest, and receives it itself if no read
// is under way.
void write_between_parts_of_a_ticket(bool with_reader) {
  server_with_a_long_ticket s;
  raw_peer& peer = s.peer;
  tls_stream& client = s.client;
  SSL_write(peer.ssl(), "after the ticket", 16);
  const std::string all = peer.take_output();
  ASSERT_GT(all.size(), 2000U);
  const std::size_t part = 700;  // one record, and a part of the next one

  must(peer.tcp.write(std::string_view(all).substr(0, part)));
  std::string got;
  const auto read = [&] {
    char buffer[16];
    got.assign(buffer, must(client.read_full(buffer)));
  };
  fiber<void> reader;
  if (with_reader) {
    reader = spawn(read);
    until_reader_waits(client);
  } else {
    // A read that comes and goes has taken the first part.
    client.set_read_timeout(20ms);
    char buffer[1];
    expect_code(client.read(buffer).status(), StatusCode::kDeadlineExceeded);
    client.set_read_deadline(clock::time_point::max());
  }
  event begun;
  auto writer = spawn([&] {
    begun.set();
    return client.write("from the client").status();
  });
  begun.wait();
  this_fiber::yield();
  must(peer.tcp.write(std::string_view(all).substr(part)));
  EXPECT_TRUE(writer.join().ok());
  EXPECT_EQ(peer.read(), "from the client");
  if (!with_reader) read();
  if (reader.joinable()) reader.join();
  EXPECT_EQ(got, "after the ticket");
}

// The write takes the rest out of the kernel before the poller reports it, so no edge comes for the read that waits.
TEST(TlsHostile, AWriteThatReceivesTellsTheReader) {
  const auto spin_for = [](std::chrono::microseconds time) {
    const auto end = clock::now() + time;
    while (clock::now() < end) {
    }
  };
  run(
      [&] {
        for (int i = 0; i < 20; ++i) {
          server_with_a_long_ticket s;
          SSL_write(s.peer.ssl(), "after the ticket", 16);
          const std::string all = s.peer.take_output();
          must(s.peer.tcp.write(std::string_view(all).substr(0, 700)));
          auto reader = spawn([&] {
            char buffer[16];
            must(s.client.read_full(buffer));
            return std::string(buffer, sizeof buffer);
          });
          until([&] {  // the reader has taken that, and waits
            int left = 0;
            return ::ioctl(s.client.native_handle(), FIONREAD, &left) == 0 && left == 0;
          });
          until_reader_waits(s.client);
          auto writer = spawn([&] { return s.client.write("from the client").status(); });
          until([&] { return test_access::io(s.client).users() > 1; });
          // Nothing else runs meanwhile. The write's pause is over then, and it goes first.
          must(s.peer.tcp.write(std::string_view(all).substr(700)));
          spin_for(800us);
          EXPECT_TRUE(writer.join().ok());
          EXPECT_EQ(reader.join(), "after the ticket");
        }
      },
      {.procs = 1});
}

TEST(TlsHostile, ATicketInPartsDelaysAWriteOnly) {
  run([] { write_between_parts_of_a_ticket(false); });
}
TEST(TlsHostile, ATicketInPartsWithAReader) {
  run([] { write_between_parts_of_a_ticket(true); });
}

// The same, but the rest never comes.
TEST(TlsHostile, ATicketThatNeverEndsDoesNotOutlastADeadline) {
  run([] {
    server_with_a_long_ticket s;
    raw_peer& peer = s.peer;
    tls_stream& client = s.client;
    must(peer.tcp.write(std::string_view(peer.take_output()).substr(0, 700)));
    client.set_read_timeout(20ms);
    char buffer[1];
    expect_code(client.read(buffer).status(), StatusCode::kDeadlineExceeded);
    client.set_write_timeout(20ms);
    expect_code(client.write("x").status(), StatusCode::kDeadlineExceeded);
    auto writer = spawn([&] {
      client.set_write_deadline(clock::time_point::max());
      return client.write("x").status();
    });
    until([&] { return test_access::io(client).users() > 0; });
    client.close();
    expect_code(writer.join(), StatusCode::kCancelled);
  });
}

// Every cut of a handshake's first flight: the server waits for the rest, or says that it is not TLS.
TEST(TlsHostile, HandshakesThatArriveByteByByte) {
  run([] {
    const tls_context server = server_context();
    connection c = connect();
    raw_peer peer(std::move(c.client), raw_client_context(), raw_peer::role::client);
    auto accepted = spawn([&, s = std::move(c.server)]() mutable { return tls_stream::accept(std::move(s), server); });
    for (bool done = false; !done;) {
      done = SSL_do_handshake(peer.ssl()) == 1;
      for (const char& one : peer.take_output()) must(peer.tcp.write({&one, 1}));
      if (done) break;
      ASSERT_TRUE(peer.receive());
    }
    tls_stream s = must(accepted.join());
    must(s.write("hello"));
    EXPECT_EQ(peer.read(), "hello");
  });
}

// Serves one connection behind a bad network: an echo, or the status of its handshake.
absl::Status echo_behind(const bad_network& network, time_limit timeout,
                         const std::function<void(tcp_stream)>& client) {
  tcp_listener l = listen();
  hostile_proxy proxy(l, each(network));
  auto server = spawn([&]() -> absl::Status {
    absl::StatusOr<tls_stream> s = tls_stream::accept(must(l.accept()), server_context(), {.timeout = timeout});
    if (!s.ok()) return s.status();
    char buffer[100];
    for (;;) {
      const absl::StatusOr<std::size_t> n = s->read(buffer);
      if (!n.ok() || *n == 0) return n.status();
      if (absl::Status sent = s->write({buffer, *n}).status(); !sent.ok()) return sent;
    }
  });
  absl::StatusOr<tcp_stream> tcp = proxy.connect();
  if (tcp.ok()) client(*std::move(tcp));
  return server.join();
}

TEST(TlsHostile, ANetworkThatSplitsAndDelaysChangesNothing) {
  run([] {
    const absl::Status end = echo_behind({.piece = 1, .delay = std::chrono::microseconds(20)}, 1h, [](tcp_stream tcp) {
      tls_stream s = must(tls_stream::connect(std::move(tcp), client_context(), "localhost", {.timeout = 1h}));
      const std::string text = pattern(100);
      must(s.write(text));
      std::string back(text.size(), '\0');
      EXPECT_EQ(must(s.read_full(back)), text.size());
      EXPECT_EQ(back, text);
      EXPECT_TRUE(s.close_write().ok());
      EXPECT_EQ(must(s.read(back)), 0u);
    });
    EXPECT_TRUE(end.ok()) << end;
  });
}

// Wherever the connection ends, both sides say that it has, and none takes a part for the whole.
TEST(TlsHostile, DroppedConnectionsAreNoEnds) {
  run([] {
    for (const auto how : {bad_network::end::close, bad_network::end::reset}) {
      for (const std::size_t after : {std::size_t{0}, std::size_t{50}, std::size_t{700}, std::size_t{1600}}) {
        const absl::Status end = echo_behind({.ends_after = after, .how = how}, 1h, [](tcp_stream tcp) {
          absl::StatusOr<tls_stream> s =
              tls_stream::connect(std::move(tcp), client_context(), "localhost", {.timeout = 1h});
          char buffer[5000];
          if (s.ok() && s->write(std::string(sizeof buffer, 'x')).ok()) {
            const absl::StatusOr<std::size_t> n = s->read_full(buffer);
            EXPECT_FALSE(n.ok()) << *n;
          }
        });
        EXPECT_FALSE(end.ok());
      }
    }
  });
}

TEST(TlsHostile, AHandshakeThatIsHeldBackEndsAtItsTimeout) {
  run([] {
    const absl::Status end = echo_behind({.held_after = 100}, 1h, [](tcp_stream tcp) {
      expect_code(tls_stream::connect(std::move(tcp), client_context(), "localhost", {.timeout = 20ms}).status(),
                  StatusCode::kDeadlineExceeded, "tls handshake");
    });
    EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  });
}

TEST(TlsHostile, ClosesWithinTheHandshake) {
  run([] {
    const tls_context server = server_context();
    for (std::size_t cut = 0; cut < 200; cut += 20) {
      connection c = connect();
      raw_peer peer(std::move(c.client), raw_client_context(), raw_peer::role::client);
      SSL_do_handshake(peer.ssl());
      must(peer.tcp.write(std::string_view(peer.take_output()).substr(0, cut)));
      peer.tcp.close();
      const absl::Status end = tls_stream::accept(std::move(c.server), server).status();
      EXPECT_TRUE(absl::IsUnavailable(end)) << cut << ": " << end;
    }
  });
}

}  // namespace
}  // namespace baton::net::test
