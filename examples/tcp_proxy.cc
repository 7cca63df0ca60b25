// A TCP proxy: passes connections on to several servers, in the kernel, and leaves out those that do not answer.
//
//   tcp_proxy LISTEN LIMIT SERVER...       tcp_proxy 127.0.0.1:8000 1000 127.0.0.1:8001 127.0.0.1:8002
//
// At most LIMIT connections are served at once; further ones wait. Each goes to the server with the fewest connections.
// A server that cannot be reached is left out until a connection succeeds; each is tried once a second. The end of a
// direction is passed on, and a reset as a reset. SIGTERM and SIGINT end the proxy with all connections. Exit code 0: a
// signal ended it; 1: it could not listen, or not accept any more.
#include <baton/baton.h>

#include "command_line.h"
#include "descriptor_limit.h"
#include "serve_until_signal.h"

#include <absl/cleanup/cleanup.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <string>

namespace {

using baton::net::tcp_stream;

constexpr std::chrono::seconds check_every{1};
constexpr std::chrono::seconds dial_limit{2};

struct server {
  explicit server(const char* at) : address(at) {}
  const std::string address;
  std::atomic<bool> answers{true};
  std::atomic<int> connections{0};

  void found(bool now) {
    if (answers.exchange(now) != now) std::fprintf(stderr, "%s %s\n", address.c_str(), now ? "answers" : "is away");
  }
};

class proxy {
 public:
  proxy(long limit, char** addresses, int count) : room_(limit) {
    for (int i = 0; i < count; ++i) servers_.emplace_back(addresses[i]);
  }

  // Switches. Serves one client.
  void serve(tcp_stream& client, const baton::context& running) {
    if (!room_.acquire(running).ok()) return;
    const absl::Cleanup leave = [this] { room_.release(); };
    client.set_context(running);
    pass_on(client, running);
  }

  // Switches. Looks after one server until the context is done.
  void check(server& s, const baton::context& running) {
    do {
      const auto probe = baton::net::dial(s.address, {.timeout = dial_limit, .ctx = running});
      if (!running.is_done()) s.found(probe.ok());
    } while (!running.wait_done_for(check_every));
  }

  [[nodiscard]] std::deque<server>& servers() { return servers_; }

 private:
  void pass_on(tcp_stream& client, const baton::context& running) {
    // Each server is tried once; the one that just failed is left out.
    for (std::size_t left = servers_.size(); left > 0; --left) {
      server* const s = least_busy();
      if (s == nullptr) return;
      ++s->connections;
      const absl::Cleanup one_less = [s] { --s->connections; };
      auto upstream = baton::net::dial(s->address, {.timeout = dial_limit, .ctx = running});
      if (upstream.ok()) {
        upstream->set_context(running);
        (void)baton::relay(client, *upstream);
      }
      if (upstream.ok() || running.is_done()) return;
      s->found(false);
    }
  }

  server* least_busy() {
    server* best = nullptr;
    for (server& s : servers_) {
      if (s.answers && (best == nullptr || s.connections < best->connections)) best = &s;
    }
    return best;
  }

  baton::semaphore room_;
  std::deque<server> servers_;
};

int serve(const char* address, proxy& p) {
  auto listener = baton::net::tcp_listener::bind(address);
  if (!listener.ok()) return examples::failed("tcp_proxy", listener.status());
  baton::task_group fibers;
  for (server& s : p.servers()) {
    fibers.spawn([&p, &s](const baton::context& running) { p.check(s, running); });
  }
  const absl::Status end = examples::serve_until_signal(
      *listener, fibers, [&p](tcp_stream& client, const baton::context& running) { p.serve(client, running); });
  return end.ok() ? 0 : examples::failed("tcp_proxy", end);
}  // the group ends the connections and the checks, and waits for their fibers

}  // namespace

int main(int argc, char** argv) {
  long limit = 0;
  if (argc < 4 || !examples::read_number(argv[2], 1, 1'000'000, limit)) {
    return examples::misused("tcp_proxy LISTEN LIMIT SERVER...");
  }
  examples::raise_descriptor_limit();
  return examples::run("tcp_proxy", [&] {
    proxy p(limit, argv + 3, argc - 3);
    return serve(argv[1], p);
  });
}
