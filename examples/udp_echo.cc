// A UDP echo server: each datagram goes back to where it came from.
//
//   udp_echo [address] [group [interface]]    default 127.0.0.1:7000; ":7000" is every address of the host; port 0 lets
//                                             the kernel choose. With a multicast group, also what is sent to that.
//   nc -u 127.0.0.1 7000
//
// One fiber for each P, each with a socket of its own on the same port (SO_REUSEPORT): the kernel spreads the senders
// over the sockets. Each fiber receives what has come, with one system call, and sends it back with another. Under load
// that is 64 datagrams a call; without load it is one, and nothing waits for more.
//
// A datagram that is larger than the buffer is dropped: half an echo is of no use. The same holds for a datagram that
// cannot be sent back (no route, a firewall): UDP promises nothing, and a server must not stop for one sender.
//
// Ctrl-C or SIGTERM ends it. Exit code 0: a signal ended it; 1: it could not bind, or not receive any more.
#include <baton/baton.h>

#include "command_line.h"

#include <absl/cleanup/cleanup.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using baton::net::udp_socket;

constexpr std::size_t at_once = 64;
constexpr std::size_t largest = 2048;  // a datagram that fits an Ethernet frame, and more

struct arrivals {
  std::array<std::array<std::byte, largest>, at_once> memory;
  std::array<baton::net::incoming, at_once> in;
  std::array<baton::net::outgoing, at_once> out;

  arrivals() {
    for (std::size_t i = 0; i < at_once; ++i) in[i].buffer = memory[i];
  }

  // Makes the answers to the first n datagrams. Returns how many there are.
  std::size_t answer(std::size_t n) {
    std::size_t answers = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (in[i].truncated) continue;
      out[answers++] = {.data = in[i].buffer.first(in[i].size), .to = in[i].from};
    }
    return answers;
  }
};

absl::Status echo(udp_socket& socket, const baton::context& running) {
  socket.set_context(running);
  const auto a = std::make_unique<arrivals>();
  for (;;) {
    const auto n = socket.receive_many(a->in);  // parks this fiber, not the thread
    if (!n.ok()) return running.is_done() ? absl::OkStatus() : n.status();
    const std::size_t answers = a->answer(static_cast<std::size_t>(*n));
    for (std::size_t sent = 0; sent < answers;) {
      const auto more = socket.send_many(std::span(a->out).first(answers).subspan(sent));
      if (!more.ok() && running.is_done()) return absl::OkStatus();
      sent += more.ok() ? static_cast<std::size_t>(*more) : 1;  // one that cannot be sent is left out
    }
  }
}

// Sockets that share a port, one for each P.
absl::StatusOr<std::vector<udp_socket>> open(const std::string& where, const std::string& group,
                                             const std::string& interface_name) {
  std::vector<udp_socket> all;
  std::string address = where;
  for (int i = 0; i < baton::procs(); ++i) {
    auto socket = udp_socket::bind(address, {.reuse_port = true});
    if (!socket.ok()) return socket.status();
    address = socket->local_address().to_string();  // the port that the kernel has chosen
    all.push_back(*std::move(socket));
  }
  if (group.empty()) return all;
  const auto parsed = baton::net::address::from_ip(group, 0);
  if (!parsed.ok()) return parsed.status();
  // One member: each would get a copy of what is sent to the group.
  if (absl::Status joined = all.front().join_group(*parsed, interface_name); !joined.ok()) return joined;
  return all;
}

int serve(const std::string& where, const std::string& group, const std::string& interface_name) {
  auto sockets = open(where, group, interface_name);
  if (!sockets.ok()) return examples::failed("udp_echo", sockets.status());
  const baton::channel<int> stop(1);
  baton::os_signals::notify(stop, {SIGINT, SIGTERM});
  baton::task_group echoes;
  for (udp_socket& s : *sockets) {
    echoes.spawn([&s, stop](const baton::context& running) -> absl::Status {
      const absl::Cleanup over = [&] { stop.close(); };  // one that cannot go on ends all
      return echo(s, running);
    });
  }
  std::printf("listening on %s\n", sockets->front().local_address().to_string().c_str());
  std::fflush(stdout);
  (void)stop.receive();
  echoes.cancel();
  const absl::Status end = echoes.wait();
  return end.ok() ? 0 : examples::failed("udp_echo", end);
}

}  // namespace

int main(int argc, char** argv) {
  if (!examples::are_operands(argc, argv, 3)) return examples::misused("udp_echo [address] [group [interface]]");
  const std::vector<std::string> given(argv + 1, argv + argc);
  const auto operand = [&given](std::size_t i, const char* otherwise) {
    return i < given.size() ? given[i] : otherwise;
  };
  return examples::run("udp_echo", [&] { return serve(operand(0, "127.0.0.1:7000"), operand(1, ""), operand(2, "")); });
}
