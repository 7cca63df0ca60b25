#include "net_test_support.h"

#include <baton/sched/platform/clock.h>
#include <baton/syscall/blocking.h>

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

namespace baton::net::test {
namespace {

TEST(Deadline, EndsABlockedRead) {
  run([] {
    connection c = connect();
    const auto begin = clock::now();
    c.client.set_read_deadline(begin + 20ms);
    char buffer[10];
    const absl::Status s = c.client.read(buffer).status();
    EXPECT_EQ(s.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_GE(clock::now() - begin, 20ms);
    EXPECT_NE(s.message().find("read "), absl::string_view::npos) << s;
    EXPECT_EQ(c.client.read(buffer).status().code(), absl::StatusCode::kDeadlineExceeded);
    must(c.client.write("the other side is not concerned"));
    c.client.set_read_deadline(clock::time_point::max());
    must(c.server.write("x"));
    EXPECT_EQ(must(c.client.read(buffer)), 1u);
  });
}

TEST(Deadline, InThePastFailsThoughDataIsReady) {
  run([] {
    connection c = connect();
    must(c.server.write("here"));
    char buffer[10];
    EXPECT_EQ(must(c.client.read({buffer, 1})), 1u);  // so the rest has arrived, too
    c.client.set_deadline(clock::now() - 1s);
    EXPECT_EQ(c.client.read(buffer).status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(c.client.write("x").status().code(), absl::StatusCode::kDeadlineExceeded);
    c.client.set_deadline(std::chrono::system_clock::time_point::min());
    EXPECT_EQ(c.client.read(buffer).status().code(), absl::StatusCode::kDeadlineExceeded);
    c.client.set_deadline(clock::time_point::max());
    EXPECT_EQ(must(c.client.read(buffer)), 3u);
  });
}

// The edge that the failing read used up must not be lost.
TEST(Deadline, DataThatCameWithTheDeadlineIsReadAfterwards) {
  run([] {
    connection c = connect();
    char buffer[10];
    for (int i = 0; i < 300; ++i) {
      auto reader = spawn([&] { return c.client.read(buffer); });
      if (i % 2 == 0) until_reader_waits(c.client);
      if (i % 3 == 0) {
        must(c.server.write("x"));
        c.client.set_read_deadline(clock::now());
      } else {
        c.client.set_read_deadline(clock::now());
        must(c.server.write("x"));
      }
      const absl::StatusOr<std::size_t> n = reader.join();
      c.client.set_read_deadline(clock::time_point::max());
      if (!n.ok()) {
        EXPECT_EQ(must(c.client.read(buffer)), 1u);
      }
    }
  });
}

TEST(Deadline, MovedEarlierWhileBlocked) {
  run([] {
    connection c = connect();
    c.client.set_read_deadline(clock::now() + 1h);
    auto reader = spawn([&] {
      char buffer[10];
      return c.client.read(buffer).status();
    });
    until_reader_waits(c.client);
    c.client.set_read_deadline(clock::now() + 10ms);
    EXPECT_EQ(reader.join().code(), absl::StatusCode::kDeadlineExceeded);
  });
}

TEST(Deadline, MovedLaterWhileBlocked) {
  run([] {
    connection c = connect();
    const auto first = clock::now() + 200ms;
    c.client.set_read_deadline(first);
    auto reader = spawn([&] {
      char buffer[10];
      return c.client.read(buffer);
    });
    until_reader_waits(c.client);
    c.client.set_read_deadline(clock::now() + 1h);
    this_fiber::sleep_until(first + 20ms);  // the former deadline passes, without effect
    EXPECT_TRUE(test_access::io(c.client).has_waiter(poll_side::read));
    must(c.server.write("x"));
    EXPECT_EQ(must(reader.join()), 1u);
  });
}

TEST(Deadline, EndsABlockedWriteAndAccept) {
  run([] {
    connection c = connect();
    shrink_buffers(c.client);
    c.client.set_deadline(clock::now() + 20ms);
    EXPECT_EQ(c.client.write(std::string(64u << 20, 'x')).status().code(), absl::StatusCode::kDeadlineExceeded);

    tcp_listener l = listen();
    l.set_deadline(clock::now() + 10ms);
    EXPECT_EQ(l.accept().status().code(), absl::StatusCode::kDeadlineExceeded);
    l.set_deadline(clock::time_point::max());
    tcp_stream client = must(dial(l.local_address().to_string()));
    must(l.accept());
  });
}

TEST(Deadline, QueuedReadersFailOneAfterTheOther) {
  run([] {
    connection c = connect();
    std::vector<fiber<absl::Status>> readers;
    for (int i = 0; i < 5; ++i) {
      readers.push_back(spawn([&] {
        char buffer[10];
        return c.client.read(buffer).status();
      }));
    }
    until_reader_waits(c.client);
    c.client.set_deadline(clock::now() + 1ms);
    for (auto& r : readers) EXPECT_EQ(r.join().code(), absl::StatusCode::kDeadlineExceeded);
  });
}

TEST(Deadline, ManyAreSetAndOnlyTheLastCounts) {
  run([] {
    connection c = connect();
    char buffer[10];
    for (int i = 0; i < 2000; ++i) {
      c.client.set_deadline(clock::now() + std::chrono::microseconds(i % 50));
      c.client.set_deadline(clock::time_point::max());
      if (i % 10 == 0) {
        must(c.server.write("x"));
        EXPECT_EQ(must(c.client.read(buffer)), 1u);
      }
    }
  });
}

TEST(Deadline, FromOneNanosecondToOneSecondAllFire) {
  run([] {
    std::vector<fiber<void>> all;
    for (std::chrono::nanoseconds after = 1ns; after <= 1s; after *= 10) {
      for (const bool waits_already : {false, true}) {
        all.push_back(spawn([after, waits_already] {
          connection c = connect();
          char byte;
          fiber<absl::Status> reader;
          if (waits_already) {
            reader = spawn([&] { return c.client.read({&byte, 1}).status(); });
            until_reader_waits(c.client);
          }
          const auto begin = clock::now();
          c.client.set_read_timeout(after);
          const absl::Status end = waits_already ? reader.join() : c.client.read({&byte, 1}).status();
          EXPECT_EQ(end.code(), absl::StatusCode::kDeadlineExceeded) << end;
          EXPECT_GE(clock::now() - begin, after);
        }));
      }
    }
    for (auto& f : all) f.join();
    connection c = connect();
    must(c.server.write("x"));
    char byte;
    for (const std::chrono::nanoseconds none : {0ns, -1ns}) {
      c.client.set_timeout(none);
      EXPECT_EQ(c.client.read({&byte, 1}).status().code(), absl::StatusCode::kDeadlineExceeded);
      EXPECT_EQ(c.client.write("y").status().code(), absl::StatusCode::kDeadlineExceeded);
    }
  });
}

// A deadline that strikes again and again takes no byte away, and a reader that goes on gets all of them.
TEST(Deadline, ResetsEveryTwoMicrosecondsLoseNothing) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          connection c = connect();
          constexpr int bytes_in_all = 3000;
          std::atomic<bool> done{false};
          auto resets = spawn([&] {
            while (!done.load()) {
              c.client.set_read_deadline(clock::now() + 2us);
              this_fiber::yield();
            }
          });
          auto writer = spawn([&] {
            for (int i = 0; i < bytes_in_all; ++i) {
              const char byte = static_cast<char>(i % 251);
              must(c.server.write({&byte, 1}));
              if (i % 16 == 0) this_fiber::yield();
            }
          });
          for (int got = 0; got < bytes_in_all;) {
            char some[8];
            const absl::StatusOr<std::size_t> n = c.client.read(some);
            if (!n.ok()) {
              ASSERT_EQ(n.status().code(), absl::StatusCode::kDeadlineExceeded);
              this_fiber::yield();  // else nothing lets the others run on one P
              continue;
            }
            for (std::size_t i = 0; i < *n; ++i, ++got) ASSERT_EQ(some[i], static_cast<char>(got % 251));
          }
          done = true;
          resets.join();
          writer.join();
        },
        {.procs = procs_now});
  }
}

// The Dekker pair: an agent that begins to wait against a deadline that strikes at the same moment. A lost wake-up is a
// hang.
TEST(Deadline, RaceWithABeginningWait) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          connection c = connect();
          std::atomic<bool> done{false};
          auto striker = spawn([&] {
            for (int i = 0; !done.load(); ++i) {
              c.client.set_read_deadline(clock::now());
              if (i % 3 == 0) this_fiber::yield();
            }
          });
          std::thread second([&] {
            while (!done.load()) {
              c.client.set_read_deadline(clock::now() + 5us);
              std::this_thread::yield();
            }
          });
          char buffer[10];
          int failures = 0;
          for (int i = 0; i < 20'000; ++i) {
            c.client.set_read_deadline(clock::time_point::max());
            const absl::Status s = c.client.read(buffer).status();
            if (s.code() == absl::StatusCode::kDeadlineExceeded) ++failures;
          }
          EXPECT_EQ(failures, 20'000);
          done = true;
          striker.join();
          blocking([&] { second.join(); });
        },
        {.procs = procs_now});
  }
}

}  // namespace
}  // namespace baton::net::test
