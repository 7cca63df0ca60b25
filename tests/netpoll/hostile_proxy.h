// A TCP proxy that is a bad network: it cuts what it passes on into pieces, delays it, holds it back, ends connections.
// Its fibers run beside those of the test.
#pragma once

#include "net_test_support.h"

#include <baton/runtime/event.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/wait_group.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace baton::net::test {

struct bad_network {
  static constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
  enum class end { close, reset };

  std::size_t piece = 16 * 1024;       // it passes on at most so much with a write
  std::chrono::microseconds delay{0};  // before each piece
  std::size_t ends_after = never;      // bytes from the server; then the connection ends
  end how = end::close;
  std::size_t held_after = never;  // bytes from the server; then it holds back the rest until `goes_on` is set
};

class hostile_proxy {
 public:
  // What a connection meets, by its number.
  using plan = std::function<bad_network(int number)>;

  hostile_proxy(const tcp_listener& server, plan of) : server_(server.local_address().to_string()), of_(std::move(of)) {
    inside_.add();
    go([this] { serve(); });
  }
  // Ends all connections.
  ~hostile_proxy() {
    listener_.close();
    goes_on.set();
    {
      const std::lock_guard hold(lock_);
      for (pair* p : open_) p->end(bad_network::end::close);
    }
    inside_.wait();
  }
  hostile_proxy(const hostile_proxy&) = delete;
  hostile_proxy& operator=(const hostile_proxy&) = delete;

  [[nodiscard]] std::string where() const { return listener_.local_address().to_string(); }
  // A connection that the proxy resets may have failed before it was made.
  [[nodiscard]] absl::StatusOr<tcp_stream> connect() const { return dial(where()); }

  event goes_on;

 private:
  struct pair {
    pair(tcp_stream c, tcp_stream s) : client(std::move(c)), server(std::move(s)) {}

    // Wakes both pumps.
    void end(bad_network::end how) {
      for (tcp_stream* s : {&client, &server}) {
        if (how == bad_network::end::reset) (void)s->set_linger(std::chrono::seconds(0));
        s->close();
      }
    }

    tcp_stream client;
    tcp_stream server;
  };

  void serve() {
    for (int number = 0;; ++number) {
      absl::StatusOr<tcp_stream> client = listener_.accept();
      if (!client.ok()) break;
      absl::StatusOr<tcp_stream> server = dial(server_);
      if (!server.ok()) continue;
      inside_.add();
      go([this, how = of_(number), p = std::make_shared<pair>(std::move(*client), std::move(*server))] {
        {
          const std::lock_guard hold(lock_);
          open_.push_back(p.get());
        }
        bad_network to_server = how;
        to_server.ends_after = to_server.held_after = bad_network::never;
        auto requests = spawn([&] { pump(*p, p->client, p->server, to_server); });
        pump(*p, p->server, p->client, how);
        requests.join();
        {
          const std::lock_guard hold(lock_);
          std::erase(open_, p.get());
        }
        inside_.done();
      });
    }
    inside_.done();
  }

  void pump(pair& p, tcp_stream& from, tcp_stream& to, const bad_network& how) {
    std::array<char, 16 * 1024> buffer;
    std::size_t passed = 0;
    for (;;) {
      const std::size_t until = std::min({how.piece, buffer.size(), how.ends_after - passed, how.held_after - passed});
      if (passed == how.ends_after) return p.end(how.how);
      if (until == 0) {
        goes_on.wait();
        return pump(p, from, to, {.piece = how.piece, .delay = how.delay});
      }
      const absl::StatusOr<std::size_t> n = from.read({buffer.data(), until});
      if (!n.ok()) return p.end(bad_network::end::reset);
      if (*n == 0) return (void)to.close_write();
      if (how.delay.count() > 0) this_fiber::sleep_for(how.delay);
      if (!to.write({buffer.data(), *n}).ok()) return p.end(bad_network::end::reset);
      passed += *n;
    }
  }

  const std::string server_;
  const plan of_;
  tcp_listener listener_ = listen();
  wait_group inside_;
  mutex lock_;  // of baton: the destructor may switch while it holds it
  std::vector<pair*> open_;
};

// A proxy that treats all connections alike.
inline hostile_proxy::plan each(bad_network how) {
  return [how](int) { return how; };
}

}  // namespace baton::net::test
