// A server that is replaced under load without losing a connection.
//
//   zero_downtime [address]      default 127.0.0.1:7100; port 0 lets the kernel choose
//
// SIGHUP starts the program again, from the file that is there now, with the same arguments. The new process gets the
// listener through a Unix socket and begins to accept. Only then does the old one stop accepting. It answers what is
// under way, and ends. If the new process does not come up within ten seconds, the old one says so and goes on. SIGTERM
// and SIGINT end the server. It answers each line with its process id and the line. Exit code 0: replaced, or ended by
// a signal; 1: it could not listen.
#include <baton/baton.h>

#include "command_line.h"
#include "descriptor_limit.h"

#include <unistd.h>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using baton::net::tcp_listener;
using baton::net::tcp_stream;
using baton::net::unix_stream;

constexpr const char* successor_flag = "--successor";
constexpr int successor_socket = 3;
constexpr std::chrono::seconds patience{10};
constexpr std::size_t line_max = 1000;

void answer(tcp_stream& peer, const baton::context& running) {
  peer.set_context(running);
  baton::buffered_reader lines(peer);
  const std::string me = std::to_string(::getpid()) + " ";
  for (;;) {
    const auto line = lines.read_line(line_max);
    if (!line.ok() || !line->has_value()) return;
    if (!peer.write(me + std::string(**line) + "\n").ok()) return;
  }
}

// Starts the successor, and returns once it has the listener.
absl::Status start_successor(tcp_listener& listener, const std::string& program) {
  auto ends = unix_stream::pair();
  if (!ends.ok()) return ends.status();
  auto& [here, there] = *ends;
  baton::command next(program, {successor_flag});
  baton::sys::child_attributes how;
  how.files = {0, 1, 2, there.native_handle()};
  next.attributes(std::move(how));
  auto child = next.start();
  if (!child.ok()) return child.status();
  there.close();
  here.set_timeout(patience);
  absl::Status s = baton::net::hand_over(here, {&listener, 1});
  if (!s.ok()) (void)child->kill(SIGKILL);
  if (s.ok()) s = child->detach();
  return s;
}

absl::StatusOr<tcp_listener> predecessors_listener() {
  auto socket = unix_stream::adopt(successor_socket);
  if (!socket.ok()) return socket.status();
  socket->set_timeout(patience);
  auto listeners = baton::net::take_over(*socket);
  if (!listeners.ok()) return listeners.status();
  if (listeners->size() != 1) return absl::InternalError("the predecessor has another number of listeners");
  return std::move(listeners->front());
}

int serve(absl::StatusOr<tcp_listener> listener, const std::string& program) {
  if (!listener.ok()) return examples::failed("zero_downtime", listener.status());
  const baton::channel<int> signals(4);
  baton::os_signals::notify(signals, {SIGHUP, SIGTERM, SIGINT});
  baton::task_group connections;
  auto accepts = baton::spawn([&] {
    for (;;) {
      auto stream = listener->accept();
      if (!stream.ok()) return;
      connections.spawn([s = *std::move(stream)](const baton::context& running) mutable { answer(s, running); });
    }
  });
  std::printf("listening on %s, process %d\n", listener->local_address().to_string().c_str(), ::getpid());
  std::fflush(stdout);
  bool replaced = false;
  while (!replaced) {
    if (signals.receive().value_or(SIGTERM) != SIGHUP) break;
    const absl::Status s = start_successor(*listener, program);
    if (!s.ok()) examples::failed("zero_downtime: the successor did not come up", s);
    replaced = s.ok();
  }
  listener->close();
  accepts.join();
  // Clients of a server that is replaced may stay for a while; a signal does not wait for them.
  if (replaced) (void)connections.wait_for(patience);
  return 0;
}  // the group ends the connections that are left, and waits for their fibers

}  // namespace

int main(int argc, char** argv) {
  examples::raise_descriptor_limit();
  const std::string program = argv[0];
  if (argc == 2 && std::strcmp(argv[1], successor_flag) == 0) {
    return examples::run("zero_downtime", [&] { return serve(predecessors_listener(), program); });
  }
  if (!examples::are_operands(argc, argv, 1)) return examples::misused("zero_downtime [address]");
  const char* const address = argc > 1 ? argv[1] : "127.0.0.1:7100";
  return examples::run("zero_downtime", [&] { return serve(tcp_listener::bind(address), program); });
}
