#include "net_test_support.h"

#include <baton/runtime/context.h>
#include <baton/runtime/wait_group.h>
#include <baton/syscall/blocking.h>

#include <sys/socket.h>
#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

namespace baton::net::test {
namespace {

void serve_echo(tcp_stream s) {
  char buffer[4096];
  for (;;) {
    const std::size_t n = must(s.read(buffer));
    if (n == 0) return;
    must(s.write({buffer, n}));
  }
}

void echo_once(tcp_stream& s, std::string_view text) {
  ASSERT_EQ(must(s.write(text)), text.size());
  std::string back(text.size(), '\0');
  ASSERT_EQ(must(s.read_full(back)), text.size());
  ASSERT_EQ(back, text);
}

std::string pattern(std::size_t size) {
  std::string s(size, '\0');
  unsigned x = 1;
  for (char& c : s) {
    x = x * 1664525u + 1013904223u;
    c = static_cast<char>(x >> 24);
  }
  return s;
}

TEST(TcpStream, Echo) {
  run([] {
    connection c = connect();
    go(serve_echo, std::move(c.server));
    for (int i = 0; i < 1000; ++i) echo_once(c.client, "hello " + std::to_string(i));
  });
}

TEST(TcpStream, AddressesMatch) {
  run([] {
    connection c = connect();
    EXPECT_EQ(c.client.local_address(), c.server.remote_address());
    EXPECT_EQ(c.client.remote_address(), c.server.local_address());
    EXPECT_TRUE(c.client.is_open());
    const address local = c.client.local_address();
    c.client.close();
    EXPECT_FALSE(c.client.is_open());
    EXPECT_EQ(c.client.local_address(), local);

    tcp_listener any = listen(":0");  // a wildcard: the accepted stream asks for its address
    const int port = any.local_address().port();
    tcp_stream client = must(dial("127.0.0.1:" + std::to_string(port)));
    tcp_stream server = must(any.accept());
    EXPECT_EQ(server.local_address().port(), port);
    EXPECT_FALSE(server.local_address().is_wildcard());
  });
}

TEST(TcpStream, ThousandConnections) {
  run([] {
    tcp_listener l = listen();
    constexpr int count = 1000;
    go([&l] {
      for (int i = 0; i < count; ++i) go(serve_echo, must(l.accept()));
    });
    wait_group all;
    const std::string where = l.local_address().to_string();
    std::atomic<int> connected{0};
    for (int i = 0; i < count; ++i) {
      all.add();
      go([&, i] {
        tcp_stream s = must(dial(where));
        ++connected;
        until([&] { return connected.load() == count; });  // all at once
        for (int k = 0; k < 5; ++k) echo_once(s, "connection " + std::to_string(i));
        all.done();
      });
    }
    all.wait();
  });
}

TEST(TcpStream, HalfClose) {
  run([] {
    connection c = connect();
    auto server = spawn([&] {
      std::string all;
      char buffer[16];
      while (std::size_t n = must(c.server.read(buffer))) all.append(buffer, n);
      must(c.server.write(all + "!"));
      EXPECT_TRUE(c.server.close_write().ok());
    });
    must(c.client.write("question, and then the end"));
    ASSERT_TRUE(c.client.close_write().ok());
    char buffer[100];
    EXPECT_EQ(must(c.client.read_full(buffer)), 27u);
    EXPECT_EQ(std::string_view(buffer, 27), "question, and then the end!");
    EXPECT_EQ(must(c.client.read(buffer)), 0u);
    EXPECT_EQ(must(c.client.read(buffer)), 0u);  // and again
    const absl::StatusOr<std::size_t> late = c.client.write("x");
    EXPECT_EQ(errno_of(late.status()), EPIPE);
    server.join();
  });
}

// If the end comes together with the last bytes, one edge stands for both. A read that takes the bytes, and is shorter
// than its buffer, must not wait for another edge.
TEST(TcpStream, EndOfStreamRightAfterAShortRead) {
  run([] {
    tcp_listener l = listen();
    for (int i = 0; i < 200; ++i) {
      connection c = connect(l);
      must(c.client.write("last words"));
      c.client.close();
      if (i % 2 == 0) this_fiber::yield();
      char buffer[100];
      EXPECT_EQ(must(c.server.read(buffer)), 10u);
      EXPECT_EQ(must(c.server.read(buffer)), 0u);
    }
  });
}

TEST(TcpStream, UrgentDataDoesNotHideWhatFollows) {
  run([] {
    connection c = connect();
    must(c.client.write("before"));
    ASSERT_EQ(::send(c.client.native_handle(), "U", 1, MSG_OOB), 1);
    must(c.client.write("after"));
    std::string all;
    char buffer[100];
    while (all.size() < 11) all.append(buffer, must(c.server.read(buffer)));
    EXPECT_EQ(all, "beforeafter");
  });
}

TEST(TcpStream, EightMebibytesThroughSmallBuffers) {
  run([] {
    connection c = connect();
    shrink_buffers(c.client);
    shrink_buffers(c.server);
    const std::string data = pattern(8u << 20);
    auto writer = spawn([&] {
      EXPECT_EQ(must(c.client.write(data)), data.size());
      EXPECT_TRUE(c.client.close_write().ok());
    });
    std::string got(data.size() + 1, '\0');
    EXPECT_EQ(must(c.server.read_full(got)), data.size());
    got.pop_back();
    EXPECT_TRUE(got == data);
    writer.join();
  });
}

TEST(TcpStream, WriteV) {
  run([] {
    connection c = connect();
    shrink_buffers(c.client);
    const std::string big = pattern(1 << 20);
    std::vector<const_bytes> pieces;
    std::string expected;
    for (int i = 0; i < 100; ++i) {
      const std::size_t begin = static_cast<std::size_t>(i) * 7001;
      const std::string_view piece =
          i % 10 == 3 ? std::string_view() : std::string_view(big).substr(begin, 1 + begin % 20000);
      pieces.emplace_back(piece);
      expected += piece;
    }
    auto writer = spawn([&] { EXPECT_TRUE(c.client.write_v(pieces).ok()); });
    std::string got(expected.size(), '\0');
    EXPECT_EQ(must(c.server.read_full(got)), expected.size());
    EXPECT_TRUE(got == expected);
    writer.join();
    EXPECT_TRUE(c.client.write_v({}).ok());
  });
}

TEST(TcpStream, SendFile) {
  run([] {
    connection c = connect();
    const std::string data = pattern(3 << 20);
    char name[] = "/tmp/baton-send-file-XXXXXX";
    struct temporary {
      int fd;
      [[nodiscard]] int native_handle() const { return fd; }
    } file{::mkstemp(name)};
    ::unlink(name);
    ASSERT_EQ(::write(file.fd, data.data(), data.size()), static_cast<ssize_t>(data.size()));
    auto writer = spawn([&] {
      EXPECT_EQ(must(c.client.send_file(file, 1000, 2 << 20)), std::size_t{2 << 20});
      EXPECT_EQ(must(c.client.send_file(file.fd, static_cast<off_t>(data.size()) - 10, 1000)), 10u);
      EXPECT_TRUE(c.client.close_write().ok());
    });
    std::string got((2 << 20) + 11, '\0');
    EXPECT_EQ(must(c.server.read_full(got)), got.size() - 1);
    got.pop_back();
    EXPECT_TRUE(got == data.substr(1000, 2 << 20) + data.substr(data.size() - 10));
    writer.join();
    ::close(file.fd);
  });
}

// One reader reads each record as a whole: reads do not interleave.
TEST(TcpStream, ConcurrentReadersSerialise) {
  run([] {
    connection c = connect();
    constexpr int readers = 8;
    constexpr int bytes_each = 50;
    std::atomic<int> total{0};
    std::vector<fiber<void>> all;
    for (int i = 0; i < readers; ++i) {
      all.push_back(spawn([&] {
        for (int k = 0; k < bytes_each; ++k) {
          char one;
          ASSERT_EQ(must(c.server.read({&one, 1})), 1u);
          total += one;
        }
      }));
    }
    until_reader_waits(c.server);
    for (int k = 0; k < readers * bytes_each; ++k) must(c.client.write("\1"));
    for (fiber<void>& f : all) f.join();
    EXPECT_EQ(total, readers * bytes_each);
  });
}

// Large writes of several fibers do not mix, although each has to wait many times.
TEST(TcpStream, ConcurrentWritersSerialise) {
  run([] {
    connection c = connect();
    shrink_buffers(c.client);
    constexpr std::size_t block = 200'000;
    std::vector<fiber<void>> writers;
    for (char id : {'a', 'b', 'c', 'd'}) {
      writers.push_back(spawn([&c, id] { must(c.client.write(std::string(block, id))); }));
    }
    std::string got(block, '\0');
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(must(c.server.read_full(got)), block);
      EXPECT_EQ(got, std::string(block, got[0]));
    }
    for (fiber<void>& f : writers) f.join();
  });
}

TEST(TcpStream, ReadAndWriteAtOnce) {
  run([] {
    connection c = connect();
    shrink_buffers(c.client);
    shrink_buffers(c.server);
    const std::string data = pattern(1 << 20);
    const auto send = [&data](tcp_stream& s) { must(s.write(data)); };
    const auto receive = [&data](tcp_stream& s) {
      std::string got(data.size(), '\0');
      must(s.read_full(got));
      EXPECT_TRUE(got == data);
    };
    auto a = spawn([&] { send(c.client); });
    auto b = spawn([&] { send(c.server); });
    auto d = spawn([&] { receive(c.client); });
    receive(c.server);
    a.join();
    b.join();
    d.join();
  });
}

TEST(TcpStream, PlainThreadsUseStreams) {
  run([] {
    connection c = connect();
    std::thread server([s = std::move(c.server)]() mutable { serve_echo(std::move(s)); });
    for (int i = 0; i < 200; ++i) echo_once(c.client, "from a fiber");
    c.client.close();
    blocking([&] { server.join(); });
  });
  // Also without any fiber at the other end.
  tcp_listener l = listen();
  std::thread server([&l] { serve_echo(must(l.accept())); });
  tcp_stream s = must(dial(l.local_address().to_string()));
  for (int i = 0; i < 200; ++i) echo_once(s, "from a thread");
  s.close();
  server.join();
}

TEST(TcpStream, EmptyReadsAndWritesReturnAtOnce) {
  run([] {
    connection c = connect();
    EXPECT_EQ(must(c.client.read(bytes{})), 0u);
    EXPECT_EQ(must(c.client.read_full(bytes{})), 0u);
    EXPECT_EQ(must(c.client.write("")), 0u);
  });
}

TEST(TcpStream, Options) {
  run([] {
    connection c = connect();
    const auto get = [&c](int level, int option) {
      int value = -1;
      socklen_t size = sizeof value;
      ::getsockopt(c.server.native_handle(), level, option, &value, &size);
      return value;
    };
    EXPECT_EQ(get(6 /* TCP */, 1 /* NODELAY */), 1);
    EXPECT_TRUE(c.server.set_no_delay(false).ok());
    EXPECT_EQ(get(6, 1), 0);
    EXPECT_TRUE(c.server.set_keep_alive(1500ms).ok());
    EXPECT_EQ(get(SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(get(6, 4 /* KEEPIDLE */), 2);
    EXPECT_TRUE(c.server.set_keep_alive(std::chrono::hours::max()).ok());
    EXPECT_TRUE(c.server.set_keep_alive(0s).ok());
    EXPECT_EQ(get(SOL_SOCKET, SO_KEEPALIVE), 0);
  });
}

TEST(TcpStream, ErrorsSayOperationObjectAndReason) {
  run([] {
    connection c = connect();
    const linger hard{1, 0};
    ::setsockopt(c.client.native_handle(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    c.client.close();  // a reset
    char buffer[10];
    const absl::Status s = c.server.read(buffer).status();
    EXPECT_EQ(errno_of(s), ECONNRESET);
    const std::string object = c.server.local_address().to_string() + "->" + c.server.remote_address().to_string();
    EXPECT_NE(s.message().find("read " + object), absl::string_view::npos) << s;
    EXPECT_NE(s.message().find("reset"), absl::string_view::npos) << s;
  });
}

TEST(TcpStream, MovedFromIsNotOpen) {
  run([] {
    connection c = connect();
    tcp_stream taken = std::move(c.client);
    tcp_stream& gone = c.client;  // NOLINT(bugprone-use-after-move)
    char buffer[10];
    EXPECT_EQ(gone.read(buffer).status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(gone.read_full(buffer).status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(gone.write("x").status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(gone.close_write().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(gone.set_no_delay(true).code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(gone.native_handle(), -1);
    gone.set_deadline(clock::now());
    gone.close();
    EXPECT_EQ(gone.local_address(), address());
    EXPECT_EQ(tcp_listener().accept().status().code(), absl::StatusCode::kFailedPrecondition);
    must(taken.write("still works"));
    gone = std::move(taken);
    must(gone.write("and here"));
  });
}

TEST(TcpStream, FailedWriteSaysHowMuchWasWritten) {
  run([] {
    connection c = connect();
    shrink_buffers(c.client);
    auto writer = spawn([&] { return c.client.write(std::string(64u << 20, 'x')).status(); });
    until_writer_waits(c.client);
    c.client.set_write_deadline(clock::now());
    const absl::Status s = writer.join();
    EXPECT_EQ(s.code(), absl::StatusCode::kDeadlineExceeded);
    const std::size_t written = written_of(s);
    EXPECT_GT(written, 0u);
    EXPECT_LT(written, std::size_t{64u << 20});
    ASSERT_TRUE(c.client.close_write().ok());
    std::string got(written + 1, '\0');
    EXPECT_EQ(must(c.server.read_full(got)), written);
  });
}

// No other read comes between two reads of one read_full().
TEST(TcpStream, ReadFullIsOneAmongReaders) {
  run([] {
    connection c = connect();
    std::string first(8, '\0');
    std::string second(4, '\0');
    auto full = spawn([&] { return must(c.client.read_full({first.data(), first.size()})); });
    until_reader_waits(c.client);
    auto other = spawn([&] { return must(c.client.read_full({second.data(), second.size()})); });
    until([&] { return test_access::io(c.client).users() == 2; });
    must(c.server.write("1234"));
    this_fiber::sleep_for(1ms);  // so that they may arrive apart
    must(c.server.write("56789abc"));
    EXPECT_EQ(full.join(), 8u);
    EXPECT_EQ(other.join(), 4u);
    EXPECT_EQ(first, "12345678");
    EXPECT_EQ(second, "9abc");
  });
}

TEST(TcpStream, ReadFullGetsWhatComesBeforeTheEnd) {
  run([] {
    connection c = connect();
    must(c.server.write("1234"));
    auto rest = spawn([&c] {
      until_reader_waits(c.client);
      must(c.server.write("56"));
      c.server.close();
    });
    std::string buffer(8, '\0');
    EXPECT_EQ(must(c.client.read_full({buffer.data(), buffer.size()})), 6u);
    EXPECT_EQ(buffer.substr(0, 6), "123456");
    rest.join();
    EXPECT_EQ(must(c.client.read_full({buffer.data(), buffer.size()})), 0u);
    EXPECT_EQ(must(c.client.read({buffer.data(), buffer.size()})), 0u);
  });
}

TEST(TcpStream, ADeadlineEndsReadFullAndTheNextReadGoesOn) {
  run([] {
    connection c = connect();
    must(c.server.write("1234"));
    std::string buffer(8, '\0');
    auto full = spawn([&] { return c.client.read_full({buffer.data(), buffer.size()}).status(); });
    until_reader_waits(c.client);
    c.client.set_read_deadline(clock::now() - 1s);
    EXPECT_EQ(full.join().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(buffer.substr(0, 4), "1234");
    c.client.set_read_deadline(clock::time_point::max());
    must(c.server.write("5678"));
    EXPECT_EQ(must(c.client.read({buffer.data(), buffer.size()})), 4u);
    EXPECT_EQ(buffer.substr(0, 4), "5678");
  });
}

TEST(TcpStream, MessagesSayOperationObjectAndCause) {
  run([] {
    tcp_listener l = listen();
    connection c = connect(l);
    const std::string read =
        "read " + c.client.local_address().to_string() + "->" + c.client.remote_address().to_string() + ": ";
    const std::string accept = "accept " + l.local_address().to_string() + ": ";
    const auto read_error = [&c] {
      char buffer[1];
      return std::string(c.client.read(buffer).status().message());
    };
    const auto accept_error = [&l] { return std::string(l.accept().status().message()); };
    c.client.set_deadline(clock::now() - 1s);
    l.set_deadline(clock::now() - 1s);
    EXPECT_EQ(read_error(), read + "deadline exceeded");
    EXPECT_EQ(accept_error(), accept + "deadline exceeded");
    c.client.set_deadline(clock::time_point::max());
    l.set_deadline(clock::time_point::max());
    const cancellable_context ctx = with_cancel(context::background());
    c.client.set_context(ctx);
    l.set_context(ctx);
    ctx.cancel();  // without a message
    EXPECT_EQ(read_error(), read + "cancelled");
    EXPECT_EQ(accept_error(), accept + "cancelled");
    const cancellable_context late = with_timeout(context::background(), 0s);
    c.client.set_context(late);
    char buffer[1];
    const absl::Status s = c.client.read(buffer).status();
    EXPECT_EQ(s.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(std::string(s.message()).find(read), 0u) << s;
    c.client.close();
    l.close();
    EXPECT_EQ(read_error(), read + "closed");
    EXPECT_EQ(accept_error(), accept + "closed");
  });
}

}  // namespace
}  // namespace baton::net::test
