// Every operation of netpoll with each of its allocations failing. The operation reports that, by std::bad_alloc or by
// a status, and nothing hangs, is lost, or stays locked.
#include "failing_allocations.h"

#include <baton/netpoll/net.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>

#include <fcntl.h>
#include <unistd.h>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace baton::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

template <class T>
T must(absl::StatusOr<T> v) {
  if (!v.ok()) {
    ADD_FAILURE() << v.status();
    std::abort();
  }
  return *std::move(v);
}

struct connection {
  net::tcp_stream client;
  net::tcp_stream server;
};

connection connect() {
  net::tcp_listener l = must(net::tcp_listener::bind("127.0.0.1:0"));
  connection c;
  c.client = must(net::dial(l.local_address().to_string()));
  c.server = must(l.accept());
  return c;
}

// Both directions work, and each close() returns.
void expect_that_it_works(connection& c) {
  char buffer[4];
  must(c.client.write("ping"));
  EXPECT_EQ(must(c.server.read_full(buffer)), 4u);
  must(c.server.write("pong"));
  EXPECT_EQ(must(c.client.read_full(buffer)), 4u);
  c.client.close();
  c.server.close();
}

// An operation succeeds, or fails only for lack of memory.
void expect_reported(const failing_allocation& fails, bool threw, const absl::Status& s) {
  EXPECT_TRUE(fails.happened() || s.ok()) << s;
  EXPECT_TRUE(!threw || fails.happened());
}

TEST(NoMemory, BindAndAddresses) {
  run([] {
    for (const char* where :
         {"127.0.0.1:0", "[::1]:0", ":0", "localhost:0", "not an address", "127.0.0.1:no-such-service"}) {
      fail_each_allocation([where](failing_allocation& fails) {
        std::optional<net::tcp_listener> l;
        (void)fails.during([&] {
          if (auto made = net::tcp_listener::bind(where); made.ok()) l = *std::move(made);
        });
        if (!l) return;
        (void)fails.during([&] {
          (void)l->local_address().to_string();
          l->close();
        });
      });
    }
    for (const char* text : {"127.0.0.1:80", "[::1]:80", "[fe80::1%lo]:80", "127.0.0.1", "[::1:80", "1.2.3.4:99999"}) {
      fail_each_allocation([text](failing_allocation& fails) {
        (void)fails.during([&] {
          if (const auto a = net::address::parse(text); a.ok()) (void)a->to_string();
        });
      });
    }
  });
}

TEST(NoMemory, DialAndResolve) {
  run([] {
    net::tcp_listener l = must(net::tcp_listener::bind("127.0.0.1:0"));
    const std::string where = l.local_address().to_string();
    const std::string by_name = "localhost:" + std::to_string(l.local_address().port());
    const cancellable_context ctx = with_cancel(context::background());
    for (const std::string& target : {where, by_name}) {
      fail_each_allocation([&](failing_allocation& fails) {
        absl::StatusOr<net::tcp_stream> s = absl::UnknownError("");
        const bool threw = fails.during([&] { s = net::dial(target, {.timeout = 1h, .ctx = ctx}); });
        EXPECT_TRUE(fails.happened() || s.ok());
        EXPECT_TRUE(!threw || fails.happened());
        if (!s.ok()) return;
        connection c;
        c.client = *std::move(s);
        // A dial that fails leaves connections that end at once.
        for (;;) {
          c.server = must(l.accept());
          if (c.server.remote_address() == c.client.local_address()) break;
        }
        expect_that_it_works(c);
      });
    }
    // Refused, timed out already, done already.
    const cancellable_context done = with_cancel(context::background());
    done.cancel(absl::AbortedError("because"));
    l.close();
    for (int how = 0; how < 3; ++how) {
      fail_each_allocation([&, how](failing_allocation& fails) {
        (void)fails.during([&] {
          net::dial_options options;
          if (how == 1) options.timeout = 0s;
          if (how == 2) options.ctx = done;
          EXPECT_FALSE(net::dial(where, options).ok());
        });
      });
    }
    for (const char* host : {"127.0.0.1", "localhost", ""}) {
      fail_each_allocation(
          [host](failing_allocation& fails) { (void)fails.during([&] { (void)net::resolve(host); }); });
    }
  });
}

// Files, a server that is not there, and whatever the process does meanwhile.
TEST(NoMemory, Resolver) {
  run([] {
    std::string nobody;
    {
      net::tcp_listener l = must(net::tcp_listener::bind("127.0.0.1:0"));
      nobody = l.local_address().to_string();
    }
    const net::address ip = must(net::address::from_ip("192.0.2.1", 0));
    for (const whose owner : {whose::caller, whose::everybody}) {
      fail_each_allocation(
          [&](failing_allocation& fails) {
            bool connected_to_nobody = false;
            const bool threw = fails.during([&] {
              auto names = net::resolver::open(
                  {.servers = {nobody}, .search = std::vector<std::string>{"a.example"}, .hosts = "/etc/hosts"});
              if (!names.ok()) return;
              connected_to_nobody = names->resolve("www").ok() || names->names_of(ip).ok() ||
                                    net::dial("www:80", {.names = &*names}).ok();
              names->close();
            });
            EXPECT_FALSE(connected_to_nobody);
            EXPECT_TRUE(!threw || fails.happened());
          },
          owner);
      net::resolver names = must(net::resolver::open({.servers = {nobody}}));
      fail_each_allocation(
          [&](failing_allocation& fails) {
            (void)fails.during([&] { EXPECT_FALSE(names.resolve("www.example").ok()); });
            // It works afterwards: what is said of a server that is not there.
            const absl::Status s = names.resolve("www.example").status();
            EXPECT_TRUE(absl::IsUnavailable(s)) << s;
          },
          owner);
    }
  });
}

TEST(NoMemory, Accept) {
  run([] {
    net::tcp_listener l = must(net::tcp_listener::bind("127.0.0.1:0"));
    net::tcp_listener everywhere = must(net::tcp_listener::bind(":0"));
    for (net::tcp_listener* const from : {&l, &everywhere}) {
      fail_each_allocation([from](failing_allocation& fails) {
        connection c;
        c.client = must(net::dial("127.0.0.1:" + std::to_string(from->local_address().port())));
        absl::StatusOr<net::tcp_stream> s = absl::UnknownError("");
        (void)fails.during([&] { s = from->accept(); });
        EXPECT_TRUE(fails.happened() || s.ok());
        if (!s.ok()) {
          // Either the connection is still there, or it was given up.
          from->set_deadline(steady_clock::now() - 1s);
          EXPECT_EQ(from->accept().status().code(), absl::StatusCode::kDeadlineExceeded);
          from->set_deadline(steady_clock::time_point::max());
          c.client.close();
          c.client = must(net::dial("127.0.0.1:" + std::to_string(from->local_address().port())));
          do {
            s = must(from->accept());
          } while (s->remote_address().port() != c.client.local_address().port());
        }
        c.server = *std::move(s);
        expect_that_it_works(c);
      });
    }
  });
}

TEST(NoMemory, AcceptThatFails) {
  run([] {
    for (int how = 0; how < 3; ++how) {
      fail_each_allocation([how](failing_allocation& fails) {
        net::tcp_listener l = must(net::tcp_listener::bind("127.0.0.1:0"));
        const cancellable_context ctx = with_cancel(context::background());
        if (how == 0) l.set_deadline(steady_clock::now() - 1s);
        if (how == 1) l.set_context(ctx), ctx.cancel(absl::AbortedError("because it is so"));
        if (how == 2) l.close();
        (void)fails.during([&] { EXPECT_FALSE(l.accept().ok()); });
        l.close();
      });
    }
  });
}

TEST(NoMemory, ReadsAndWrites) {
  run([] {
    const const_bytes pieces[] = {"pi", "", "ece"};
    char buffer[5];
    fail_each_allocation([&](failing_allocation& fails) {
      connection c = connect();
      must(c.server.write("12345678"));
      absl::Status s;
      const bool threw = fails.during([&] {
        s = c.client.read(bytes(buffer, 3)).status();
        s.Update(c.client.read_full(buffer).status());
        s.Update(c.client.write("12345").status());
        s.Update(c.client.write_v(pieces));
      });
      EXPECT_FALSE(threw);
      EXPECT_FALSE(fails.happened());  // they need no memory
      EXPECT_TRUE(s.ok()) << s;
    });
  });
}

TEST(NoMemory, ReadsAndWritesThatWait) {
  run([] {
    fail_each_allocation([](failing_allocation& fails) {
      connection c = connect();
      c.client.set_deadline(steady_clock::now() + 1h);
      auto echo = spawn([&c] {
        char buffer[8];
        if (c.server.read_full(buffer).ok()) (void)c.server.write({buffer, 8});
      });
      absl::Status s;
      char buffer[8];
      const bool threw = fails.during([&] {
        s = c.client.write("12345678").status();
        if (s.ok()) s = c.client.read_full(buffer).status();
      });
      expect_reported(fails, threw, s);
      echo.join();
      expect_that_it_works(c);
    });
  });
}

// A call that fails has to describe why.
TEST(NoMemory, CallsThatFail) {
  run([] {
    const const_bytes pieces[] = {"pi", "", "ece"};
    const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    char buffer[5];
    for (int call = 0; call < 8; ++call) {
      for (int how = 0; how < 4; ++how) {
        fail_each_allocation([&](failing_allocation& fails) {
          connection c = connect();
          net::tcp_stream empty;
          net::tcp_stream& s = how == 3 ? empty : c.client;
          const cancellable_context ctx = with_cancel(context::background());
          if (how == 0) s.set_deadline(steady_clock::now() - 1s);
          if (how == 1) s.set_context(ctx), ctx.cancel();
          if (how == 2) s.close();
          (void)fails.during([&] {
            switch (call) {
              case 0: EXPECT_FALSE(s.read(buffer).ok()); break;
              case 1: EXPECT_FALSE(s.read_full(buffer).ok()); break;
              case 2: EXPECT_FALSE(s.write("x").ok()); break;
              case 3: EXPECT_FALSE(s.write_v(pieces).ok()); break;
              case 4: EXPECT_FALSE(s.send_file(file, 0, 100).ok()); break;
              case 5: (void)s.close_write(); break;
              case 6: (void)s.set_no_delay(true); break;
              case 7: (void)s.set_keep_alive(1s); break;
            }
          });
          if (how < 2 && call != 5) {
            s.set_deadline(steady_clock::time_point::max());
            s.set_context(context::background());
            expect_that_it_works(c);
          }
          s.close();
        });
      }
    }
    ::close(file);
  });
}

// Both sides change, or neither.
TEST(NoMemory, ADeadlineOfBothSides) {
  run([] {
    // Timers are allocated in chunks. Every third connection here uses one timer more, so that a chunk can also end
    // between the two timers of one call.
    std::vector<connection> all;
    int thrown = 0;
    for (int i = 0; i < 200; ++i) {
      connection c = connect();
      must(c.server.write("x"));
      c.client.set_deadline(steady_clock::now() - 1s);
      failing_allocation fails(1, failing_allocation::which::all_from, whose::caller);
      const bool threw = fails.during([&] { c.client.set_deadline(steady_clock::now() + 1h); });
      thrown += threw ? 1 : 0;
      char buffer[1];
      const absl::Status read = c.client.read(buffer).status();
      const absl::Status written = c.client.write("y").status();
      EXPECT_EQ(threw, absl::IsDeadlineExceeded(read)) << read;
      EXPECT_EQ(threw, absl::IsDeadlineExceeded(written)) << written;
      if (i % 3 == 0) c.server.set_read_deadline(steady_clock::now() + 1h);
      if (threw) c.client.set_deadline(steady_clock::now() + 1h);
      all.push_back(std::move(c));
    }
    EXPECT_GT(thrown, 0);
  });
}

TEST(NoMemory, DeadlinesContextsAndTheEnd) {
  run([] {
    fail_each_allocation([](failing_allocation& fails) {
      connection c = connect();
      (void)fails.during([&] {
        c.client.set_deadline(steady_clock::now() + 1h);
        c.client.set_read_deadline(steady_clock::now() + 2h);
        c.client.set_write_deadline(steady_clock::time_point::max());
      });
      expect_that_it_works(c);
    });
    fail_each_allocation([](failing_allocation& fails) {
      connection c = connect();
      std::optional<cancellable_context> ctx;
      (void)fails.during([&] {
        ctx = with_timeout(context::background(), 1h);
        c.client.set_context(*ctx);
        c.server.set_context(*ctx);
      });
      expect_that_it_works(c);
    });
    fail_each_allocation([](failing_allocation& fails) {
      const cancellable_context ctx = with_cancel(context::background());
      connection c = connect();
      EXPECT_FALSE(fails.during([&] {
        c.client.set_context(ctx);
        c.server.set_context(ctx);
        ctx.cancel(absl::Status());
        c.client.close();
        c.server = net::tcp_stream();
      }) && !fails.happened());
    });
  });
}

}  // namespace
}  // namespace baton::test
