#include "net_test_support.h"

#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/runtime/stats.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/files.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

namespace baton::net::test {
namespace {

TEST(Close, WakesReaderWriterAndThoseWhoQueue) {
  run([] {
    connection c = connect();
    shrink_buffers(c.client);
    const std::string big(64u << 20, 'x');
    std::vector<fiber<absl::Status>> all;
    for (int i = 0; i < 3; ++i) {
      all.push_back(spawn([&] {
        char buffer[10];
        return c.client.read(buffer).status();
      }));
      all.push_back(spawn([&] { return c.client.write(big).status(); }));
    }
    until_reader_waits(c.client);
    until_writer_waits(c.client);
    const int number = c.client.native_handle();
    c.client.close();
    EXPECT_EQ(::fcntl(number, F_GETFD), -1);  // close() returns after the number is closed
    for (auto& f : all) {
      const absl::Status s = f.join();
      EXPECT_EQ(s.code(), absl::StatusCode::kCancelled) << s;
      EXPECT_NE(s.message().find("closed"), absl::string_view::npos) << s;
    }
    char buffer[10];
    EXPECT_EQ(c.client.read(buffer).status().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(c.client.set_no_delay(true).code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(c.client.native_handle(), -1);
    c.client.close();  // again: does nothing
  });
}

TEST(Close, WakesAcceptAndFreesThePort) {
  run([] {
    tcp_listener l = listen();
    const std::string where = l.local_address().to_string();
    std::vector<fiber<absl::Status>> acceptors;
    for (int i = 0; i < 3; ++i) {
      acceptors.push_back(spawn([&l] { return l.accept().status(); }));
    }
    until_reader_waits(l);
    l.close();
    tcp_listener again = listen(where);
    for (auto& f : acceptors) EXPECT_EQ(f.join().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(l.accept().status().code(), absl::StatusCode::kCancelled);
  });
}

TEST(Close, DestructionEndsABlockedRead) {
  run([] {
    connection c = connect();
    auto owner = std::make_unique<tcp_stream>(std::move(c.client));
    auto reader = spawn([s = owner.get()] {
      char buffer[10];
      return s->read(buffer).status();
    });
    until_reader_waits(*owner);
    owner.reset();
    EXPECT_EQ(reader.join().code(), absl::StatusCode::kCancelled);
  });
}

// The same with several calls inside, also in the queue. The owner is gone when they return.
TEST(Close, DestructionEndsAllWhoAreInside) {
  run([] {
    for (int i = 0; i < 100; ++i) {
      auto l = std::make_unique<tcp_listener>(listen());
      std::vector<fiber<absl::Status>> acceptors;
      for (int k = 0; k < 4; ++k) {
        acceptors.push_back(spawn([raw = l.get()] { return raw->accept().status(); }));
      }
      until([&] { return test_access::io(*l).users() == 4; });
      l.reset();
      for (auto& f : acceptors) EXPECT_EQ(f.join().code(), absl::StatusCode::kCancelled);
    }
  });
}

TEST(Close, FromAPlainThread) {
  run([] {
    connection c = connect();
    auto reader = spawn([&] {
      char buffer[10];
      return c.client.read(buffer).status();
    });
    until_reader_waits(c.client);
    std::thread closer([&] { c.client.close(); });
    EXPECT_EQ(reader.join().code(), absl::StatusCode::kCancelled);
    blocking([&] { closer.join(); });
  });
}

TEST(Close, WakesAPlainThread) {
  run([] {
    connection c = connect();
    absl::Status s;
    std::thread reader([&] {
      char buffer[10];
      s = c.client.read(buffer).status();
    });
    until_reader_waits(c.client);
    c.client.close();
    blocking([&] { reader.join(); });
    EXPECT_EQ(s.code(), absl::StatusCode::kCancelled);
  });
}

void stay_inside(tcp_stream& s, event& leave) {
  (void)test_access::io(s).with_fd([&leave](int) {
    leave.wait();
    return 0L;
  });
}

// Whichever close() returns first, the stream may be destroyed after it: readers, writers, queueing calls and the other
// closes have left.
TEST(Close, EachWaitsForAllWhoAreInside) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          tcp_listener l = listen();
          const std::string big(4u << 20, 'x');
          for (int i = 0; i < 100; ++i) {
            connection c = connect(l);
            shrink_buffers(c.client);
            auto* const s = new tcp_stream(std::move(c.client));
            std::vector<fiber<void>> all;
            std::atomic<int> out{0};
            for (int k = 0; k < 6; ++k) {
              all.push_back(spawn([&, s, k] {
                char buffer[10];
                const absl::Status end = k % 2 == 0 ? s->read_full(buffer).status() : s->write(big).status();
                EXPECT_EQ(end.code(), absl::StatusCode::kCancelled) << end;
                ++out;
              }));
            }
            // A call that does not leave before it is told to.
            event leave;
            all.push_back(spawn([&leave, s] { stay_inside(*s, leave); }));
            until([s] { return test_access::io(*s).users() == 7; });
            std::atomic<bool> destroyed{false};
            for (int k = 0; k < 3; ++k) {
              all.push_back(spawn([&destroyed, s] {
                s->close();
                if (!destroyed.exchange(true)) delete s;
              }));
            }
            until([&, s] { return out == 6 && test_access::io(*s).users() == 3; });  // that call, and two closes
            EXPECT_FALSE(destroyed);
            leave.set();
            for (auto& f : all) f.join();
            EXPECT_TRUE(destroyed);
          }
        },
        {.procs = procs_now});
  }
}

// read_full() is one call: close() between two of its reads neither frees the stream nor lets it go on.
TEST(Close, EndsReadFullBetweenItsReads) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          tcp_listener l = listen();
          for (int i = 0; i < 200; ++i) {
            connection c = connect(l);
            auto s = std::make_unique<tcp_stream>(std::move(c.client));
            auto reader = spawn([raw = s.get()] {
              std::string buffer(1u << 20, '\0');
              return raw->read_full({buffer.data(), buffer.size()}).status();
            });
            until_reader_waits(*s);
            auto dribble = spawn([&c] {
              while (c.server.write("x").ok()) this_fiber::yield();
            });
            for (int k = i % 20; k > 0; --k) this_fiber::yield();
            s.reset();
            EXPECT_EQ(reader.join().code(), absl::StatusCode::kCancelled);
            dribble.join();
          }
        },
        {.procs = procs_now});
  }
}

// The kernel waits in close(2) until the peer has everything. The P goes to the fiber that reads it.
TEST(Close, OfASocketThatLingersLetsOthersRun) {
  run([] {
    connection c = connect();
    shrink_buffers(c.client);
    shrink_buffers(c.server);
    const linger patient{1, 100};
    ASSERT_EQ(::setsockopt(c.client.native_handle(), SOL_SOCKET, SO_LINGER, &patient, sizeof patient), 0);
    c.client.set_write_deadline(clock::now() + 20ms);
    const absl::Status full = c.client.write(std::string(64u << 20, 'x')).status();
    ASSERT_EQ(full.code(), absl::StatusCode::kDeadlineExceeded);
    const std::uint64_t before = stats().handoffs_hinted;
    auto reader = spawn([&c] {
      std::string buffer(1u << 20, '\0');
      std::size_t all = 0;
      for (;;) {
        const std::size_t n = must(c.server.read({buffer.data(), buffer.size()}));
        if (n == 0) return all;
        all += n;
      }
    });
    c.client.close();
    EXPECT_GT(stats().handoffs_hinted, before);
    EXPECT_EQ(reader.join(), written_of(full));
  });
}

// The same for dup3(), which closes its target's former file. There is one P, and the monitor does not take it from
// calls that are not declared. So the reader runs only if this call is declared.
void dup3_over_a_socket_that_lingers() {
  ::alarm(20);
  std::_Exit(run(
      [] {
        connection c = connect();
        shrink_buffers(c.client);
        shrink_buffers(c.server);
        c.client.set_write_deadline(clock::now() + 20ms);
        const absl::Status full = c.client.write(std::string(64u << 20, 'x')).status();
        const int last = ::fcntl(c.client.native_handle(), F_DUPFD_CLOEXEC, 0);
        c.client.close();
        const linger patient{1, 100};
        if (::setsockopt(last, SOL_SOCKET, SO_LINGER, &patient, sizeof patient) != 0) return 10;
        auto reader = spawn([&c] {
          std::string buffer(1u << 20, '\0');
          std::size_t all = 0;
          for (;;) {
            const std::size_t n = must(c.server.read({buffer.data(), buffer.size()}));
            if (n == 0) return all;
            all += n;
          }
        });
        if (!sys::dup3(0, last, O_CLOEXEC)) return 11;
        return reader.join() == written_of(full) ? 0 : 12;
      },
      {.procs = 1, .rescue = false}));
}

TEST(CloseDeathTest, Dup3OverASocketThatLingersLetsOthersRun) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(dup3_over_a_socket_that_lingers(), testing::ExitedWithCode(0), "");
}

// Close against a beginning wait: a lost wake-up is a hang.
TEST(Close, RaceWithABeginningWait) {
  for (const int procs_now : {1, 2, 8}) {
    run(
        [] {
          tcp_listener l = listen();
          for (int i = 0; i < 700; ++i) {
            connection c = connect(l);
            auto reader = spawn([&] {
              char buffer[10];
              return c.client.read(buffer).status();
            });
            for (int k = i % 5; k > 0; --k) this_fiber::yield();
            c.client.close();
            EXPECT_EQ(reader.join().code(), absl::StatusCode::kCancelled);
          }
        },
        {.procs = procs_now});
  }
}

// The next connection reuses a number at once, while edges of the former are still on their way. No connection may get
// a failure, or data, of another one.
TEST(Close, StaleEventsDoNotReachAReusedNumber) {
  run([] {
    tcp_listener l = listen();
    const std::string where = l.local_address().to_string();
    constexpr int workers = 16;
    constexpr int rounds = 150;
    go([&l] {
      for (int i = 0; i < workers * rounds; ++i) {
        go([s = must(l.accept())]() mutable {
          char buffer[64];
          for (;;) {
            const absl::StatusOr<std::size_t> n = s.read(buffer);
            if (!n.ok() || *n == 0) return;
            if (!s.write({buffer, *n}).ok()) return;
          }
        });
      }
    });
    std::vector<fiber<void>> all;
    for (int w = 0; w < workers; ++w) {
      all.push_back(spawn([&, w] {
        for (int i = 0; i < rounds; ++i) {
          tcp_stream s = must(dial(where));
          const std::string text = std::to_string(w) + "/" + std::to_string(i);
          must(s.write(text));
          std::string back(text.size(), '\0');
          ASSERT_EQ(must(s.read_full(back)), text.size());
          ASSERT_EQ(back, text);
          if (i % 2 == 0) {  // close with an edge on its way
            must(s.write(text));
          }
          s.close();
        }
      }));
    }
    for (auto& f : all) f.join();
  });
}

// A cancellation that a test can trigger.
class manual_cancellation final : public cancellation {
 public:
  [[nodiscard]] absl::Status error() const override {
    return done_.load(mo::acquire) ? absl::AbortedError("the test says so") : absl::OkStatus();
  }
  [[nodiscard]] bool subscribe(node& n) noexcept override {
    sched::platform::lock_guard hold(lock_);
    if (done_.load(mo::relaxed)) return false;
    nodes_.push_back(&n);
    return true;
  }
  void unsubscribe(node& n) noexcept override {
    sched::platform::lock_guard hold(lock_);
    std::erase(nodes_, &n);
  }
  void cancel() {
    sched::platform::lock_guard hold(lock_);
    done_.store(true, mo::release);
    for (node* n : nodes_) n->cancelled();
    nodes_.clear();
  }
  [[nodiscard]] std::size_t subscribers() {
    sched::platform::lock_guard hold(lock_);
    return nodes_.size();
  }

 private:
  sched::platform::spin_lock lock_;
  sched::platform::atomic<bool> done_{false};
  std::vector<node*> nodes_ ABSL_GUARDED_BY(lock_);
};

struct manual_context {
  std::shared_ptr<manual_cancellation> state = std::make_shared<manual_cancellation>();
  [[nodiscard]] std::shared_ptr<cancellation> as_cancellation() const { return state; }
};

TEST(Context, EndsBlockedAndLaterCalls) {
  run([] {
    connection c = connect();
    shrink_buffers(c.client);
    const manual_context ctx;
    c.client.set_context(ctx);
    auto reader = spawn([&] {
      char buffer[10];
      return c.client.read(buffer).status();
    });
    auto writer = spawn([&] { return c.client.write(std::string(64u << 20, 'x')).status(); });
    until_reader_waits(c.client);
    until_writer_waits(c.client);
    ctx.state->cancel();
    const absl::Status why = reader.join();
    EXPECT_EQ(why.code(), absl::StatusCode::kAborted);
    EXPECT_TRUE(why.message().find("read 127.0.0.1:") == 0) << why;
    EXPECT_TRUE(why.message().find(": the test says so") != absl::string_view::npos) << why;
    const absl::Status s = writer.join();
    EXPECT_EQ(s.code(), absl::StatusCode::kAborted);
    EXPECT_GT(written_of(s), 0u);
    char buffer[10];
    must(c.server.write("ready, but too late"));
    EXPECT_EQ(c.client.read(buffer).status().code(), absl::StatusCode::kAborted);

    c.client.set_context(manual_context());  // another context: the stream works again
    EXPECT_EQ(must(c.client.read(buffer)), sizeof buffer);
  });
}

TEST(Context, DoneAlready) {
  run([] {
    connection c = connect();
    const manual_context ctx;
    ctx.state->cancel();
    c.client.set_context(ctx);
    EXPECT_EQ(c.client.write("x").status().code(), absl::StatusCode::kAborted);
    tcp_listener l = listen();
    l.set_context(ctx);
    EXPECT_EQ(l.accept().status().code(), absl::StatusCode::kAborted);
    EXPECT_EQ(dial(l.local_address().to_string(), {.ctx = ctx}).status().code(), absl::StatusCode::kAborted);
  });
}

TEST(Context, IsLeftAtCloseAndAtReplacement) {
  run([] {
    const manual_context first;
    const manual_context second;
    connection c = connect();
    c.client.set_context(first);
    c.server.set_context(first);
    EXPECT_EQ(first.state->subscribers(), 2u);
    c.client.set_context(second);
    EXPECT_EQ(first.state->subscribers(), 1u);
    EXPECT_EQ(second.state->subscribers(), 1u);
    c.client.close();
    c.server.close();
    EXPECT_EQ(first.state->subscribers(), 0u);
    EXPECT_EQ(second.state->subscribers(), 0u);
    c.client.set_context(first);  // closed: does nothing
    EXPECT_EQ(first.state->subscribers(), 0u);
  });
}

// The context that ends reads leaves the writes alone, and the other way round, in whatever order they were set.
TEST(Context, EachSideHasItsOwn) {
  run([] {
    for (const bool both_first : {false, true}) {
      for (const bool reads_end : {false, true}) {
        connection c = connect();
        const manual_context of_reads;
        const manual_context of_writes;
        const manual_context of_both;
        if (both_first) c.client.set_context(of_both);
        c.client.set_write_context(of_writes);
        c.client.set_read_context(of_reads);
        auto reader = spawn([&] {
          char buffer[10];
          return c.client.read(buffer).status();
        });
        until_reader_waits(c.client);
        of_both.state->cancel();  // replaced on both sides
        (reads_end ? of_reads : of_writes).state->cancel();
        const absl::Status written = c.client.write("x").status();
        EXPECT_EQ(written.code(), reads_end ? absl::StatusCode::kOk : absl::StatusCode::kAborted) << written;
        if (!reads_end) must(c.server.write("y"));
        EXPECT_EQ(reader.join().code(), reads_end ? absl::StatusCode::kAborted : absl::StatusCode::kOk);
        EXPECT_EQ(of_both.state->subscribers(), 0u);
      }
    }
  });
}

// A context of both sides stays in force for the side that did not get its own.
TEST(Context, OfBothStaysForTheOtherSide) {
  run([] {
    for (const bool done_before : {false, true}) {
      for (const bool reads_change : {false, true}) {
        connection c = connect();
        const manual_context of_both;
        const manual_context of_one;
        c.client.set_context(of_both);
        if (done_before) of_both.state->cancel();
        if (reads_change) c.client.set_read_context(of_one);
        if (!reads_change) c.client.set_write_context(of_one);
        if (!done_before) {
          EXPECT_EQ(of_both.state->subscribers(), 1u);
          of_both.state->cancel();
        }
        must(c.server.write("y"));
        char buffer[10];
        const absl::Status read = c.client.read(buffer).status();
        const absl::Status written = c.client.write("x").status();
        EXPECT_EQ(read.code(), reads_change ? absl::StatusCode::kOk : absl::StatusCode::kAborted) << read;
        EXPECT_EQ(written.code(), reads_change ? absl::StatusCode::kAborted : absl::StatusCode::kOk) << written;
        EXPECT_EQ(read.ok(), read.message().find("the test says so") == absl::string_view::npos) << read;
        EXPECT_EQ(written.ok(), written.message().find("the test says so") == absl::string_view::npos) << written;
        c.client.set_context(manual_context());
        must(c.server.write("z"));
        EXPECT_GT(must(c.client.read(buffer)), 0u);
        must(c.client.write("x"));
      }
    }
  });
}

TEST(Context, RaceWithABeginningWait) {
  run([] {
    connection c = connect();
    for (int i = 0; i < 3000; ++i) {
      const manual_context ctx;
      c.client.set_context(ctx);
      auto reader = spawn([&] {
        char buffer[10];
        return c.client.read(buffer).status();
      });
      for (int k = i % 4; k > 0; --k) this_fiber::yield();
      ctx.state->cancel();
      EXPECT_EQ(reader.join().code(), absl::StatusCode::kAborted);
    }
  });
}

// An existing context can be set, and the stream can be closed, although no fiber can be made any more.
void set_a_context_without_memory() {
  ::alarm(20);
  std::_Exit(run([] {
    connection c = connect();
    const auto ctx = with_timeout(context::background(), std::chrono::hours(1));
    long pages = 0;
    std::FILE* const statm = std::fopen("/proc/self/statm", "r");
    if (statm == nullptr || std::fscanf(statm, "%ld", &pages) != 1) return 10;
    std::fclose(statm);
    rlimit former;
    ::getrlimit(RLIMIT_AS, &former);
    const rlimit as{static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (16u << 20),
                    former.rlim_max};
    if (::setrlimit(RLIMIT_AS, &as) != 0) return 11;
    static event go_on;
    try {
      for (;;) go([] { go_on.wait(); });
    } catch (const std::bad_alloc&) {
    }
    c.client.set_context(ctx);
    ::setrlimit(RLIMIT_AS, &former);
    go_on.set();
    ctx.cancel(absl::AbortedError("the test says so"));
    char buffer[10];
    if (c.client.read(buffer).status().code() != absl::StatusCode::kAborted) return 12;
    c.client.close();
    return 0;
  }));
}

TEST(ContextDeathTest, IsSetWithoutMemory) {
#if BATON_ASAN || BATON_TSAN
  GTEST_SKIP() << "sanitizers need the address space";
#endif
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(set_a_context_without_memory(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace baton::net::test
