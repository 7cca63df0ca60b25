// Streams over a network that splits, delays, holds back and drops; peers that vanish without a word.
#include "hostile_proxy.h"

#include <baton/runtime/io.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

// Serves connections until the listener is closed. serve(stream) is a connection's fiber.
class server {
 public:
  template <class Serve>
  explicit server(Serve serve) {
    inside_.add();
    go([this, serve] {
      for (;;) {
        absl::StatusOr<tcp_stream> peer = listener.accept();
        if (!peer.ok()) break;
        inside_.add();
        go([this, serve, s = std::move(*peer)]() mutable {
          serve(s);
          s.close();
          inside_.done();
        });
      }
      inside_.done();
    });
  }
  ~server() {
    listener.close();
    inside_.wait();
  }
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  tcp_listener listener = listen();

 private:
  wait_group inside_;
};

void echo(tcp_stream& s) {
  char buffer[512];
  for (;;) {
    const absl::StatusOr<std::size_t> n = s.read(buffer);
    if (!n.ok() || *n == 0 || !s.write({buffer, *n}).ok()) return;
  }
}

TEST(HostileNetwork, SingleBytesAndDelaysChangeNothing) {
  run([] {
    const server peers(echo);
    const hostile_proxy proxy(peers.listener, each({.piece = 1, .delay = 50us}));
    tcp_stream s = must(proxy.connect());
    const std::string text = "one\r\ntwo\n" + std::string(300, 'x') + "\nrest";
    must(s.write(text));
    ASSERT_TRUE(s.close_write().ok());
    char first[3];
    ASSERT_EQ(must(s.read_full(first)), 3u);
    EXPECT_EQ(std::string_view(first, 3), "one");
    buffered_reader in(s);
    EXPECT_EQ(must(in.read_line(100)), "\r");
    EXPECT_EQ(must(in.peek(2)), "tw");
    EXPECT_EQ(must(in.read_line(100)), "two");
    EXPECT_EQ(in.read_line(200).status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(must(in.read_line(1000)), std::string(300, 'x'));
    EXPECT_EQ(must(in.read_line(100)), "rest");
    EXPECT_EQ(must(in.read_line(100)), std::nullopt);
  });
}

// However many bytes come before the end, each of them is delivered, and the end is told from a reset.
TEST(HostileNetwork, DroppedConnectionsEndReads) {
  run([] {
    const server peers(echo);
    for (const auto how : {bad_network::end::close, bad_network::end::reset}) {
      for (const std::size_t after : {std::size_t{0}, std::size_t{1}, std::size_t{100}}) {
        const hostile_proxy proxy(peers.listener, each({.ends_after = after, .how = how}));
        absl::StatusOr<tcp_stream> dialed = proxy.connect();
        if (!dialed.ok() || !dialed->write(std::string(200, 'x')).ok()) continue;  // it was that quick
        tcp_stream& s = *dialed;
        std::string buffer(200, '\0');
        const absl::StatusOr<std::size_t> got = s.read_full(buffer);
        if (how == bad_network::end::close) {
          // The kernel resets a connection that is closed with bytes unread.
          EXPECT_TRUE(got.ok() ? *got == after : errno_of(got.status()) == ECONNRESET) << got.status();
        } else {
          EXPECT_EQ(errno_of(got.status()), ECONNRESET) << got.status();
        }
        EXPECT_FALSE(s.read_full(buffer).value_or(0) > 0);
      }
    }
  });
}

TEST(HostileNetwork, ADeadlineEndsAReadThatIsHeldBackAndLosesNothing) {
  run([] {
    const server peers(echo);
    hostile_proxy proxy(peers.listener, each({.piece = 7, .held_after = 50}));
    tcp_stream s = must(proxy.connect());
    const std::string text(200, 'y');
    must(s.write(text));
    std::string buffer(text.size(), '\0');
    ASSERT_EQ(must(s.read_full({buffer.data(), 50})), 50u);
    s.set_read_timeout(5ms);
    const absl::Status late = s.read_full({buffer.data() + 50, 150}).status();
    EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded) << late;
    s.set_read_deadline(clock::time_point::max());
    auto rest = spawn([&] { return s.read_full({buffer.data() + 50, 150}); });
    until_reader_waits(s);
    proxy.goes_on.set();
    EXPECT_EQ(must(rest.join()), 150u);
    EXPECT_EQ(buffer, text);
  });
}

// Each connection meets another network. A client that loses its connection dials again. No client gets a foreign byte.
TEST(HostileNetwork, ManyClientsGetThroughInTheEnd) {
  run([] {
    const server peers(echo);
    const hostile_proxy proxy(peers.listener, [](int number) {
      bad_network how;
      if (number % 2 == 0) how.piece = 1 + static_cast<std::size_t>(number % 13);
      if (number % 3 == 0) how.delay = std::chrono::microseconds(number % 50);
      if (number % 4 == 0) how.ends_after = static_cast<std::size_t>(number % 64);
      if (number % 8 == 0) how.how = bad_network::end::reset;
      return how;
    });
    std::atomic<int> lost{0};
    std::vector<fiber<void>> clients;
    for (int c = 0; c < 40; ++c) {
      clients.push_back(spawn([&, c] {
        const std::string text = std::to_string(c) + std::string(64, static_cast<char>('a' + c % 26));
        for (int done = 0; done < 3;) {
          absl::StatusOr<tcp_stream> s = proxy.connect();
          std::string back(text.size(), '\0');
          const bool got = s.ok() && s->write(text).ok() && s->read_full(back).value_or(0) == text.size();
          EXPECT_TRUE(!got || back == text);
          got ? ++done : ++lost;
        }
      }));
    }
    for (auto& f : clients) f.join();
    EXPECT_GT(lost, 0);
  });
}

TEST(HostileNetwork, ASlowReaderDelaysItsWriterAlone) {
  run([] {
    constexpr std::size_t size = 300'000;
    const server peers([](tcp_stream& s) {
      shrink_buffers(s);
      (void)s.write(std::string(size, 'z'));
    });
    const hostile_proxy slow(peers.listener, each({.piece = 4096, .delay = 100us}));
    tcp_stream s = must(slow.connect());
    shrink_buffers(s);
    auto reads = spawn([&] {
      std::string all(size, '\0');
      return s.read_full(all).value_or(0);
    });
    tcp_stream other = must(dial(peers.listener.local_address().to_string()));
    std::string all(size, '\0');
    EXPECT_EQ(must(other.read_full(all)), size);
    EXPECT_EQ(reads.join(), size);
  });
}

// A socket in repair mode is closed without a word to its peer, as if the host had lost its power.
TEST(HostileNetwork, APeerThatVanishesIsNoticedByWhatIsSent) {
  run([] {
    connection c = connect();
    const int on = 1;
    if (::setsockopt(c.client.native_handle(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) != 0) {
      GTEST_SKIP() << "no right to TCP_REPAIR";
    }
    c.client.close();
    char byte;
    c.server.set_read_timeout(5ms);
    EXPECT_EQ(c.server.read({&byte, 1}).status().code(), absl::StatusCode::kDeadlineExceeded);  // it is half-open
    c.server.set_read_deadline(clock::time_point::max());
    auto waits = spawn([&] { return c.server.read({&byte, 1}).status(); });
    until_reader_waits(c.server);
    must(c.server.write("is anybody there?"));
    const absl::Status end = waits.join();
    EXPECT_EQ(errno_of(end), ECONNRESET) << end;
    EXPECT_FALSE(c.server.write("x").ok());
  });
}

}  // namespace
}  // namespace baton::net::test
