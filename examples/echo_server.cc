// A TCP echo server: one fiber per connection, written as if every call could block.
//
//   echo_server [address]        default 127.0.0.1:7000; port 0 lets the kernel choose
//
// Ctrl-C or SIGTERM ends it: no new connections, and the fibers of open connections stop waiting for their peers. Exit
// code 0: a signal ended it; 1: it could not listen, or not accept any more. echo.cc is the same without arguments and
// graceful stop.
#include <baton/baton.h>

#include "command_line.h"
#include "descriptor_limit.h"
#include "serve_until_signal.h"

#include <cstddef>

namespace {

void echo(baton::net::tcp_stream& peer, const baton::context& running) {
  peer.set_context(running);
  std::byte buffer[16 * 1024];
  for (;;) {
    const auto n = peer.read(buffer);  // parks this fiber, not the thread
    if (!n.ok() || *n == 0) return;    // an error (also when the server stops), or the peer has closed
    if (!peer.write(baton::const_bytes(buffer, *n)).ok()) return;
  }
}

int serve(const char* address) {
  auto listener = baton::net::tcp_listener::bind(address);
  if (!listener.ok()) return examples::failed("echo_server", listener.status());
  baton::task_group connections;
  const absl::Status end = examples::serve_until_signal(*listener, connections, echo);
  return end.ok() ? 0 : examples::failed("echo_server", end);
}  // the group cancels the open connections, and waits for their fibers

}  // namespace

int main(int argc, char** argv) {
  if (!examples::are_operands(argc, argv, 1)) return examples::misused("echo_server [address]");
  examples::raise_descriptor_limit();
  return examples::run("echo_server", [&] { return serve(argc > 1 ? argv[1] : "127.0.0.1:7000"); });
}
