// A program outside the repository that does what servers do: a fiber for each connection over loopback, a channel,
// timers, contexts that end waits, exceptions, and a signal that stops it. tests/consumer/sanitizers runs it under each
// sanitizer. Exit code 0: every answer was right.
#include <baton/baton.h>

#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::net::tcp_stream;

constexpr int clients = 24;
constexpr int requests = 20;

// Whether a whole number came before the end of the stream.
bool receive(tcp_stream& from, int& number) {
  const auto n = from.read_full(baton::bytes(&number, sizeof number));
  return n.ok() && *n == sizeof number;
}
bool send(tcp_stream& to, const int& number) { return to.write(baton::const_bytes(&number, sizeof number)).ok(); }

struct tally {
  baton::mutex lock;
  std::set<int> served;
  int refused = 0;
};

// Throws for odd numbers, after it may have changed threads.
int answer_to(int number) {
  baton::this_fiber::yield();
  if (number % 2 != 0) throw std::invalid_argument("odd: " + std::to_string(number));
  return number / 2;
}

void serve(tcp_stream& peer, const baton::context& running, const baton::channel<int>& seen, tally& total) {
  peer.set_context(running);
  int number = 0;
  while (receive(peer, number)) {
    int answer = -1;
    try {
      answer = answer_to(number);
    } catch (const std::invalid_argument& odd) {
      baton::this_fiber::sleep_for(100us);  // the exception moves with the fiber
      const std::lock_guard guard(total.lock);
      total.refused += odd.what() == "odd: " + std::to_string(number) ? 1 : 0;
    }
    if (!seen.send(number) || !send(peer, answer)) return;
  }
}

// Returns how many answers were right.
int ask(const std::string& address, int client) {
  auto stream = baton::net::dial(address);
  if (!stream.ok()) return 0;
  int right = 0;
  for (int i = 0; i < requests; ++i) {
    const int number = client * requests + i;
    int answer = 0;
    if (!send(*stream, number) || !receive(*stream, answer)) break;
    right += answer == (number % 2 != 0 ? -1 : number / 2) ? 1 : 0;
  }
  return right;
}

// A connection whose peer says nothing: the context ends the wait.
bool time_ends_a_wait(const std::string& address) {
  const auto soon = baton::with_timeout(baton::context::background(), 5ms);
  auto stream = baton::net::dial(address);
  if (!stream.ok()) return false;
  stream->set_context(soon);
  char byte[1];
  return absl::IsDeadlineExceeded(stream->read(byte).status());
}

void collect(const baton::channel<int>& seen, tally& total) {
  for (bool open = true; open;) {
    baton::select(baton::on_receive(seen,
                                    [&](std::optional<int> number) {
                                      open = number.has_value();
                                      const std::lock_guard guard(total.lock);
                                      if (open) total.served.insert(*number);
                                    }),
                  baton::on_timeout(1ms, [] {}));
  }
}

int run() {
  auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
  if (!listener.ok()) return 2;
  const std::string address = listener->local_address().to_string();
  tally total;
  const baton::channel<int> seen(4);
  const baton::channel<int> stop(1);
  baton::os_signals::notify(stop, {SIGTERM});
  auto collector = baton::spawn([&] { collect(seen, total); });
  auto stopper = baton::spawn([&] {
    static_cast<void>(stop.receive());
    listener->close();
  });
  auto server = baton::spawn([&] {
    baton::task_group connections;  // its end ends those that are idle
    for (;;) {
      auto peer = listener->accept();
      if (!peer.ok()) return;
      connections.spawn([&, stream = *std::move(peer)](const baton::context& running) mutable {
        serve(stream, running, seen, total);
      });
    }
  });
  std::vector<baton::fiber<int>> asking;
  for (int i = 0; i < clients; ++i) asking.push_back(baton::spawn([&address, i] { return ask(address, i); }));
  int right = 0;
  for (auto& client : asking) right += client.join();
  const bool in_time = time_ends_a_wait(address);
  ::kill(::getpid(), SIGTERM);
  stopper.join();
  server.join();
  seen.close();
  collector.join();
  std::printf("%d right, %zu served, %d refused, %s\n", right, total.served.size(), total.refused,
              in_time ? "the deadline came" : "no deadline");
  constexpr int all = clients * requests;
  return right == all && total.served.size() == all && total.refused == all / 2 && in_time ? 0 : 1;
}

}  // namespace

int main() { return baton::run(run); }
