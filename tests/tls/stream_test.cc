// A connection after its handshake: data, its end, deadlines, contexts, close().
#include "raw_peer.h"
#include "tls_test_support.h"

#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/file.h>
#include <baton/runtime/io.h>
#include <baton/syscall/blocking.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace baton::net::test {
namespace {

using absl::StatusCode;

constexpr tls_version versions[] = {tls_version::tls1_2, tls_version::tls1_3};

std::string read_exactly(tls_stream& s, std::size_t size) {
  std::string all(size, '\0');
  all.resize(must(s.read_full(all)));
  return all;
}

void shrink_buffers(tls_connection& c) {
  for (const int fd : {c.client.native_handle(), c.server.native_handle()}) {
    const int size = 64 * 1024;
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
}

TEST(TlsStream, CarriesEachSize) {
  run([] {
    for (const tls_version version : versions) {
      tls_connection c = connect_tls(version);
      for (const std::size_t size : {1UL, 2UL, 16383UL, 16384UL, 16385UL, 65536UL, 65537UL, 300'000UL}) {
        const std::string data = pattern(size);
        auto writer = spawn([&] { EXPECT_EQ(must(c.client.write(data)), size); });
        EXPECT_EQ(read_exactly(c.server, size), data);
        writer.join();
      }
    }
  });
}

TEST(TlsStream, CarriesSingleBytes) {
  run([] {
    tls_connection c = connect_tls();
    const std::string data = pattern(2000);
    auto writer = spawn([&] {
      for (const char& one : data) must(c.client.write({&one, 1}));
      EXPECT_TRUE(c.client.close_write().ok());
    });
    std::string all;
    char one[1];
    while (must(c.server.read(one)) == 1) all += one[0];
    EXPECT_EQ(all, data);
    writer.join();
  });
}

TEST(TlsStream, MovesNothingForEmptyBuffers) {
  run([] {
    tls_connection c = connect_tls();
    EXPECT_EQ(must(c.client.write("")), 0U);
    EXPECT_EQ(must(c.client.read(bytes())), 0U);  // at once, although nothing comes
    EXPECT_EQ(must(c.client.read_full(bytes())), 0U);
    EXPECT_TRUE(c.client.write_v({}).ok());
    must(c.client.write("x"));
    EXPECT_EQ(read_exactly(c.server, 1), "x");
  });
}

TEST(TlsStream, WritesPiecesInOrder) {
  run([] {
    tls_connection c = connect_tls();
    const std::string large = pattern(100'000);
    std::vector<std::string> texts = {"", "head",          "",     large, "a", "b", pattern(16'384),
                                      "", pattern(20'000), "tail", ""};
    for (int i = 0; i < 100; ++i) texts.push_back(std::to_string(i));
    std::vector<const_bytes> pieces;
    std::string expected;
    for (const std::string& t : texts) {
      pieces.emplace_back(std::string_view(t));
      expected += t;
    }
    auto writer = spawn([&] { EXPECT_TRUE(c.client.write_v(pieces).ok()); });
    EXPECT_EQ(read_exactly(c.server, expected.size()), expected);
    writer.join();
  });
}

TEST(TlsStream, SendsFiles) {
  run([] {
    const baton_test::temporary_folder folder;
    const std::string content = pattern(200'000);
    const file f = must(file::open(folder.file("content", content), O_RDONLY));
    tls_connection c = connect_tls();
    auto writer = spawn([&] {
      EXPECT_EQ(must(c.client.send_file(f, 0, content.size())), content.size());
      EXPECT_EQ(must(c.client.send_file(f, 100'000, 10)), 10U);
      EXPECT_EQ(must(c.client.send_file(f, 199'990, 1'000'000)), 10U);  // it ends before
      EXPECT_EQ(must(c.client.send_file(f, 300'000, 1)), 0U);
      EXPECT_EQ(errno_of(c.client.send_file(-1, 0, 1).status()), EBADF);
      must(c.client.write("."));
    });
    EXPECT_EQ(read_exactly(c.server, content.size()), content);
    EXPECT_EQ(read_exactly(c.server, 10), content.substr(100'000, 10));
    EXPECT_EQ(read_exactly(c.server, 10), content.substr(199'990));
    EXPECT_EQ(read_exactly(c.server, 1), ".");
    writer.join();
  });
}

TEST(TlsStream, IsAReaderAndAWriter) {
  run([] {
    tls_connection c = connect_tls();
    auto echo = spawn([&] {
      must(copy(c.server, c.server));
      EXPECT_TRUE(c.server.close_write().ok());
    });
    const std::string data = pattern(1'000'000);
    auto writer = spawn([&] {
      must(c.client.write(data));
      EXPECT_TRUE(c.client.close_write().ok());
    });
    EXPECT_EQ(must(read_all(c.client, 2'000'000)), data);
    writer.join();
    echo.join();
  });
}

// Both sides write more than all buffers hold before either would have read it all.
TEST(TlsStream, ReadsAndWritesAtOnce) {
  run([] {
    for (const tls_version version : versions) {
      tls_connection c = connect_tls(version);
      shrink_buffers(c);
      const std::string data = pattern(3'000'000);
      std::vector<fiber<void>> all;
      for (tls_stream* const s : {&c.client, &c.server}) {
        all.push_back(spawn([&, s] {
          EXPECT_EQ(must(s->write(data)), data.size());
          EXPECT_TRUE(s->close_write().ok());
        }));
        all.push_back(spawn([&, s] {
          std::string got(data.size() + 1, '\0');
          got.resize(must(s->read_full(got)));
          EXPECT_EQ(got, data);
        }));
      }
      for (auto& f : all) f.join();
    }
  });
}

// A read that waits does not keep a write from going on, nor the other way round.
TEST(TlsStream, ABlockedSideDoesNotHoldTheOther) {
  run([] {
    tls_connection c = connect_tls();
    shrink_buffers(c);
    const std::string large = pattern(2'000'000);
    auto writer = spawn([&] { return c.client.write(large).status(); });
    until_writer_waits(c.client);
    must(c.server.write("first"));
    EXPECT_EQ(read_exactly(c.client, 5), "first");
    auto reader = spawn([&] { return read_exactly(c.client, 6); });
    until_reader_waits(c.client);
    EXPECT_EQ(read_exactly(c.server, large.size()), large);
    EXPECT_TRUE(writer.join().ok());
    must(c.client.write("more"));  // the reader still waits
    EXPECT_EQ(read_exactly(c.server, 4), "more");
    must(c.server.write("second"));
    EXPECT_EQ(reader.join(), "second");
  });
}

TEST(TlsStream, WritesOfManyFibersAreUnits) {
  run([] {
    tls_connection c = connect_tls();
    std::vector<fiber<void>> writers;
    constexpr std::size_t size = 40'000;
    for (char id = 'a'; id < 'a' + 8; ++id) {
      writers.push_back(spawn([&c, id] {
        for (int i = 0; i < 5; ++i) must(c.client.write(std::string(size, id)));
      }));
    }
    for (int i = 0; i < 40; ++i) {
      const std::string unit = read_exactly(c.server, size);
      EXPECT_EQ(unit, std::string(size, unit[0]));
    }
    for (auto& f : writers) f.join();
  });
}

TEST(TlsStream, HalfClose) {
  run([] {
    for (const tls_version version : versions) {
      tls_connection c = connect_tls(version);
      must(c.client.write("question"));
      EXPECT_TRUE(c.client.close_write().ok());
      EXPECT_TRUE(c.client.close_write().ok());  // again: nothing
      EXPECT_EQ(errno_of(c.client.write("late").status()), EPIPE);
      EXPECT_EQ(read_exactly(c.server, 100), "question");
      char buffer[10];
      EXPECT_EQ(must(c.server.read(buffer)), 0U);
      EXPECT_EQ(must(c.server.read(buffer)), 0U);  // and again
      must(c.server.write("answer"));
      c.server.close();
      EXPECT_EQ(read_exactly(c.client, 100), "answer");
      EXPECT_EQ(must(c.client.read(buffer)), 0U);
    }
  });
}

// The end of the TCP stream is not the end of the data: an attacker between the peers may have cut it.
TEST(TlsStream, TruncationIsAnError) {
  run([] {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      for (const bool in_record : {false, true}) {
        connection c = connect();
        auto peer = spawn([&] {
          auto raw =
              std::make_unique<raw_peer>(std::move(c.client), raw_client_context(version), raw_peer::role::client);
          EXPECT_TRUE(raw->shake_hands());
          raw->write("data");
          SSL_write(raw->ssl(), "more", 4);
          const std::string record = raw->take_output();
          if (in_record) must(raw->tcp.write(std::string_view(record).substr(0, record.size() / 2)));
          raw->tcp.close();
        });
        tls_stream s = must(tls_stream::accept(std::move(c.server), server_context()));
        EXPECT_EQ(read_exactly(s, 4), "data");
        char buffer[10];
        for (int i = 0; i < 2; ++i) {
          const absl::Status end = s.read(buffer).status();
          // Tickets that the peer has not read make its kernel reset the connection.
          if (errno_of(end) == ECONNRESET) continue;
          expect_code(end, StatusCode::kDataLoss, "close_notify");
        }
        peer.join();
      }
    }
  });
}

TEST(TlsStream, CloseIsNoTruncation) {
  run([] {
    const tls_context server = server_context();
    const tls_context client = client_context();
    for (int i = 0; i < 100; ++i) {
      tls_connection c = connect_tls(server, client);
      const bool client_first = i % 2 == 0;
      tls_stream& first = client_first ? c.client : c.server;
      tls_stream& second = client_first ? c.server : c.client;
      must(first.write("last words"));
      // The client has not read the tickets. They must not make the kernel reset the connection.
      first = tls_stream();
      EXPECT_EQ(read_exactly(second, 100), "last words");
    }
  });
}

TEST(TlsStream, DeadlinesEndReadsAndWrites) {
  run([] {
    tls_connection c = connect_tls();
    shrink_buffers(c);
    char buffer[10];
    c.client.set_read_deadline(clock::now() - 1s);
    expect_code(c.client.read(buffer).status(), StatusCode::kDeadlineExceeded, "read 127.0.0.1");
    c.client.set_read_timeout(5ms);
    expect_code(c.client.read(buffer).status(), StatusCode::kDeadlineExceeded);
    must(c.client.write("the other side goes on"));
    // A deadline acts on a read that waits.
    c.client.set_read_deadline(clock::time_point::max());
    auto reader = spawn([&] { return c.client.read(buffer).status(); });
    until_reader_waits(c.client);
    c.client.set_deadline(clock::now());
    expect_code(reader.join(), StatusCode::kDeadlineExceeded);
    c.client.set_deadline(clock::time_point::max());
    must(c.server.write("alive"));
    EXPECT_EQ(read_exactly(c.client, 5), "alive");
  });
}

// written_of() says where to go on, also if some of it was not sent yet.
TEST(TlsStream, AWriteGoesOnAfterItsDeadline) {
  run([] {
    for (const tls_version version : versions) {
      tls_connection c = connect_tls(version);
      shrink_buffers(c);
      const std::string data = pattern(3'000'000);
      std::size_t done = 0;
      int ended = 0;
      event full;
      auto reader = spawn([&] {
        full.wait();
        EXPECT_EQ(read_exactly(c.server, data.size() + 1), data);
      });
      while (done < data.size()) {
        c.client.set_write_timeout(2ms);
        const auto n = c.client.write(const_bytes(data).drop(done));
        done += n.ok() ? *n : written_of(n.status());
        if (n.ok()) break;
        expect_code(n.status(), StatusCode::kDeadlineExceeded, "write");
        ++ended;
        full.set();
      }
      EXPECT_EQ(done, data.size());
      EXPECT_GT(ended, 0);
      c.client.set_write_deadline(clock::time_point::max());
      EXPECT_TRUE(c.client.close_write().ok());
      reader.join();
    }
  });
}

TEST(TlsStream, ContextsEndReadsAndWrites) {
  run([] {
    tls_connection c = connect_tls();
    shrink_buffers(c);
    const cancellable_context reads = with_cancel(context::background());
    const cancellable_context writes = with_cancel(context::background());
    c.client.set_read_context(reads);
    c.client.set_write_context(writes);
    const std::string large(8'000'000, 'x');
    auto writer = spawn([&] { return c.client.write(large).status(); });
    until_writer_waits(c.client);
    writes.cancel(absl::UnavailableError("no more writes"));
    expect_code(writer.join(), StatusCode::kUnavailable, "no more writes");
    must(c.server.write("x"));
    EXPECT_EQ(read_exactly(c.client, 1), "x");
    auto reader = spawn([&] {
      char buffer[1];
      return c.client.read(buffer).status();
    });
    until_reader_waits(c.client);
    reads.cancel();
    expect_code(reader.join(), StatusCode::kCancelled, "read");
    c.client.set_context(context::background());
    must(c.server.write("y"));
    EXPECT_EQ(read_exactly(c.client, 1), "y");
  });
}

TEST(TlsStream, UpdatesKeys) {
  run([] {
    tls_connection c = connect_tls();
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(c.client.update_keys().ok());
      must(c.client.write("to server"));
      EXPECT_EQ(read_exactly(c.server, 9), "to server");
      EXPECT_TRUE(c.server.update_keys().ok());
      must(c.server.write("to client"));
      EXPECT_EQ(read_exactly(c.client, 9), "to client");
    }
    tls_connection old = connect_tls(tls_version::tls1_2);
    expect_code(old.client.update_keys(), StatusCode::kFailedPrecondition, "TLS 1.2");
  });
}

TEST(TlsStream, UpdatesKeysWhileBothSidesWrite) {
  run([] {
    tls_connection c = connect_tls();
    shrink_buffers(c);
    const std::string data = pattern(2'000'000);
    std::vector<fiber<void>> all;
    for (tls_stream* const s : {&c.client, &c.server}) {
      all.push_back(spawn([&, s] {
        for (std::size_t at = 0; at < data.size(); at += 50'000) {
          must(s->write(const_bytes(data).subspan(at, 50'000)));
          EXPECT_TRUE(s->update_keys().ok());
        }
        EXPECT_TRUE(s->close_write().ok());
      }));
      all.push_back(spawn([&, s] { EXPECT_EQ(read_exactly(*s, data.size() + 1), data); }));
    }
    for (auto& f : all) f.join();
  });
}

TEST(TlsStream, CloseEndsTheCallsThatAreInside) {
  run([] {
    const std::string large(8'000'000, 'x');
    for (int i = 0; i < 20; ++i) {
      tls_connection c = connect_tls();
      shrink_buffers(c);
      std::vector<fiber<absl::Status>> all;
      for (int k = 0; k < 3; ++k) {
        all.push_back(spawn([&] {
          char buffer[10];
          return c.client.read(buffer).status();
        }));
        all.push_back(spawn([&] { return c.client.write(large).status(); }));
      }
      until_reader_waits(c.client);
      until_writer_waits(c.client);
      const int number = c.client.native_handle();
      if (i % 2 == 0) {
        c.client.close();
        EXPECT_EQ(::fcntl(number, F_GETFD), -1);
        c.client.close();  // again: nothing
      } else {
        std::thread closer([&] { c.client.close(); });
        blocking([&] { closer.join(); });
      }
      for (auto& f : all) expect_code(f.join(), StatusCode::kCancelled, "closed");
      char buffer[10];
      expect_code(c.client.read(buffer).status(), StatusCode::kCancelled);
      expect_code(c.client.write("x").status(), StatusCode::kCancelled);
      expect_code(c.client.close_write(), StatusCode::kCancelled);
      EXPECT_EQ(c.client.native_handle(), -1);
      // A write was ended halfway: for the peer the data is cut off.
      std::string all_that_came(3 * large.size(), '\0');
      EXPECT_FALSE(c.server.read_full(all_that_came).ok());
    }
  });
}

TEST(TlsStream, WhicheverCloseReturnsFirstMayDestroyIt) {
  run([] {
    const tls_context server = server_context();
    const tls_context client = client_context();
    for (int i = 0; i < 50; ++i) {
      tls_connection c = connect_tls(server, client);
      auto* const s = new tls_stream(std::move(c.client));
      std::vector<fiber<void>> all;
      all.push_back(spawn([s] {
        char buffer[10];
        expect_code(s->read(buffer).status(), StatusCode::kCancelled);
      }));
      until_reader_waits(*s);
      // A call that does not leave before it is told to.
      event leave;
      all.push_back(spawn([&leave, s] {
        (void)test_access::io(*s).with_fd([&leave](int) {
          leave.wait();
          return 0L;
        });
      }));
      until([s] { return test_access::io(*s).users() == 2; });
      std::atomic<bool> destroyed{false};
      std::atomic<int> closing{0};
      for (int k = 0; k < 3; ++k) {
        all.push_back(spawn([&, s] {
          ++closing;
          s->close();
          if (!destroyed.exchange(true)) delete s;
        }));
      }
      until([&] { return closing == 3 && test_access::io(*s).users() == 3; });  // that call, and two closes
      EXPECT_FALSE(destroyed);
      leave.set();
      for (auto& f : all) f.join();
    }
  });
}

TEST(TlsStream, PlainThreadsUseItToo) {
  run([] {
    tls_connection c = connect_tls();
    std::string got;
    std::thread reader([&] { got = read_exactly(c.server, 500'000); });
    std::thread writer([&] { must(c.client.write(pattern(500'000))); });
    blocking([&] {
      reader.join();
      writer.join();
    });
    EXPECT_EQ(got, pattern(500'000));
  });
}

TEST(TlsStream, SaysThatItIsNotOpen) {
  run([] {
    tls_stream s;
    char buffer[1];
    EXPECT_FALSE(s.is_open());
    expect_code(s.read(buffer).status(), StatusCode::kFailedPrecondition, "read tls stream: not open");
    expect_code(s.write("x").status(), StatusCode::kFailedPrecondition, "not open");
    expect_code(s.write_v({}), StatusCode::kFailedPrecondition, "not open");
    expect_code(s.close_write(), StatusCode::kFailedPrecondition, "not open");
    expect_code(s.update_keys(), StatusCode::kFailedPrecondition, "not open");
    expect_code(s.set_no_delay(true), StatusCode::kFailedPrecondition, "not open");
    s.close();
    s.set_deadline(clock::now());
    EXPECT_EQ(s.server_name(), "");
    EXPECT_FALSE(s.peer_certificate().has_value());
    tls_connection c = connect_tls();
    s = std::move(c.client);
    EXPECT_TRUE(s.is_open());
    EXPECT_TRUE(s.set_no_delay(false).ok());
    EXPECT_TRUE(s.set_keep_alive(10s).ok());
    expect_code(c.client.read(buffer).status(), StatusCode::kFailedPrecondition);
  });
}

}  // namespace
}  // namespace baton::net::test
