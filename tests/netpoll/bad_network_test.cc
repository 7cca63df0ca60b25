// Connections through a network that splits what is sent, delays it, and cuts connections off. It is a proxy: the
// kernel's netem needs rights and modules that few machines give to a test.
#include "net_test_support.h"

#include <baton/runtime/task_group.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace baton::net::test {
namespace {

struct badness {
  std::size_t piece_max = 50;  // bytes passed on at once
  int delays_of_1000 = 20;     // how many of 1,000 pieces are held back for a moment
  std::size_t cut_after = 0;   // bytes of a direction, about; 0: never
};

class bad_network {
 public:
  bad_network(tcp_listener& to, badness how)
      : to_(to.local_address().to_string()), how_(how), accepts_(spawn([this] { accept_all(); })) {}
  ~bad_network() {
    front_.close();
    accepts_.join();
    connections_.cancel();
    static_cast<void>(connections_.wait());
  }

  [[nodiscard]] std::string address() const { return front_.local_address().to_string(); }

 private:
  void accept_all() {
    for (unsigned n = 0;; ++n) {
      auto client = front_.accept();
      if (!client.ok()) return;
      connections_.spawn([this, n, client = *std::move(client)](const context& ctx) mutable {
        auto server = dial(to_, {.ctx = ctx});
        if (!server.ok()) return;
        client.set_context(ctx);
        server->set_context(ctx);
        auto back = spawn([&] { pass_on(client, *server, 2 * n); });
        pass_on(*server, client, 2 * n + 1);
        back.join();
      });
    }
  }
  void pass_on(tcp_stream& to, tcp_stream& from, unsigned seed) const {
    std::minstd_rand random(seed + 1);
    const std::size_t end = how_.cut_after == 0 ? 0 : how_.cut_after / 2 + random() % how_.cut_after;
    char buffer[4096];
    for (std::size_t passed = 0;;) {
      const auto n = from.read(bytes(buffer).first(1 + random() % how_.piece_max));
      if (!n.ok()) return cut(to, from);
      if (*n == 0) return static_cast<void>(to.close_write());
      if (static_cast<int>(random() % 1000) < how_.delays_of_1000) this_fiber::sleep_for(1ms);
      if (!to.write(const_bytes(buffer, *n)).ok()) return cut(to, from);
      passed += *n;
      if (end > 0 && passed >= end) return cut(to, from);
    }
  }
  static void cut(tcp_stream& a, tcp_stream& b) {
    for (tcp_stream* const s : {&a, &b}) {
      static_cast<void>(s->set_linger(0s));
      s->close();
    }
  }

  const std::string to_;
  const badness how_;
  tcp_listener front_ = listen();
  task_group connections_;
  fiber<void> accepts_;
};

class echo_server {
 public:
  ~echo_server() {
    listener.close();
    accepts_.join();
  }
  tcp_listener listener = listen();

 private:
  void serve() {
    task_group all;
    for (auto peer = listener.accept(); peer.ok(); peer = listener.accept()) {
      all.spawn([s = *std::move(peer)](const context& ctx) mutable {
        s.set_context(ctx);
        char buffer[1000];
        for (auto n = s.read(buffer); n.ok() && *n > 0; n = s.read(buffer)) {
          if (!s.write(const_bytes(buffer, *n)).ok()) return;
        }
        static_cast<void>(s.close_write());
      });
    }
  }
  fiber<void> accepts_ = spawn([this] { serve(); });
};

std::string text_of(unsigned seed, std::size_t size) {
  std::minstd_rand random(seed + 1);
  std::string text(size, ' ');
  for (char& c : text) c = static_cast<char>('a' + random() % 26);
  return text;
}

TEST(BadNetwork, NothingIsLostAndTheEndArrives) {
  run([] {
    echo_server server;
    const bad_network between(server.listener, {});
    task_group clients;
    for (unsigned i = 0; i < 20; ++i) {
      clients.spawn([&, i] {
        tcp_stream s = must(dial(between.address()));
        const std::string sent = text_of(i, 20'000);
        auto writes = spawn([&] {
          must(s.write(sent));
          EXPECT_TRUE(s.close_write().ok());
        });
        std::string got(sent.size() + 1, ' ');
        EXPECT_EQ(must(s.read_full(bytes(got.data(), got.size()))), sent.size()) << "and then the end";
        EXPECT_EQ(got.substr(0, sent.size()), sent);
        writes.join();
      });
    }
    EXPECT_TRUE(clients.wait().ok());
  });
}

// A deadline that ends a read or a write takes no byte with it.
TEST(BadNetwork, ShortDeadlinesLoseNothing) {
  run([] {
    echo_server server;
    const bad_network between(server.listener, {.piece_max = 200, .delays_of_1000 = 100});
    task_group clients;
    for (unsigned i = 0; i < 10; ++i) {
      clients.spawn([&, i] {
        tcp_stream s = must(dial(between.address()));
        const std::string sent = text_of(i, 20'000);
        auto writes = spawn([&] {
          for (std::size_t done = 0; done < sent.size();) {
            s.set_write_timeout(500us);
            const auto n = s.write(const_bytes(sent).drop(done));
            ASSERT_TRUE(n.ok() || absl::IsDeadlineExceeded(n.status())) << n.status();
            done += n.ok() ? *n : written_of(n.status());
          }
        });
        std::string got;
        char buffer[300];
        while (got.size() < sent.size()) {
          s.set_read_timeout(500us);
          const auto n = s.read(buffer);
          ASSERT_TRUE(n.ok() || absl::IsDeadlineExceeded(n.status())) << n.status();
          if (n.ok()) got.append(buffer, *n);
        }
        EXPECT_EQ(got, sent);
        writes.join();
      });
    }
    EXPECT_TRUE(clients.wait().ok());
  });
}

// A connection that is cut off ends every call with an error, and what had come before is right.
TEST(BadNetwork, ACutIsAnErrorOfEachSide) {
  run([] {
    echo_server server;
    const bad_network between(server.listener, {.piece_max = 500, .delays_of_1000 = 5, .cut_after = 20'000});
    task_group clients;
    for (unsigned i = 0; i < 40; ++i) {
      clients.spawn([&, i] {
        tcp_stream s = must(dial(between.address()));
        const std::string sent = text_of(i, 200'000);
        auto writes = spawn([&] { return s.write(sent).status(); });
        std::string got;
        char buffer[300];
        absl::StatusOr<std::size_t> n = std::size_t{0};
        for (n = s.read(buffer); n.ok() && *n > 0; n = s.read(buffer)) got.append(buffer, *n);
        EXPECT_EQ(errno_of(n.status()), ECONNRESET) << n.status();
        EXPECT_EQ(got, sent.substr(0, got.size()));
        const absl::Status written = writes.join();
        EXPECT_TRUE(written.ok() || errno_of(written) == ECONNRESET || errno_of(written) == EPIPE) << written;
      });
    }
    EXPECT_TRUE(clients.wait().ok());
  });
}

}  // namespace
}  // namespace baton::net::test
