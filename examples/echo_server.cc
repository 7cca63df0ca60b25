// A TCP echo server: one fiber per connection, written as if every call could block.
//
//   echo_server [address]        default 127.0.0.1:7000; port 0 lets the kernel choose
//
// Ctrl-C or SIGTERM ends it: no new connections, and the fibers of those that are open stop waiting for their
// peers. echo.cc is the same without that.
#include <baton/baton.h>

#include "descriptor_limit.h"

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <utility>

namespace {

void echo(baton::net::tcp_stream& peer) {
  std::byte buffer[16 * 1024];
  for (;;) {
    const auto n = peer.read(buffer);  // parks this fiber, not the thread
    if (!n.ok() || *n == 0) return;    // an error (also: we are stopping), or the peer has closed
    if (!peer.write(baton::const_bytes(buffer, *n)).ok()) return;
  }
}

int serve(const char* address) {
  auto listener = baton::net::tcp_listener::bind(address);
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
    return 1;
  }
  const auto running = baton::with_cancel(baton::context::background());
  const baton::channel<int> stop(1);
  baton::os_signals::notify(stop, {SIGINT, SIGTERM});
  const auto stopper = baton::spawn([&] {   // joins at the end of this function
    if (stop.receive()) listener->close();  // ends the accept below
  });
  std::printf("listening on %s\n", listener->local_address().to_string().c_str());
  std::fflush(stdout);

  baton::wait_group open;
  for (;;) {
    auto accepted = listener->accept();
    if (!accepted.ok()) break;
    open.add();
    baton::go([&, peer = std::move(*accepted)]() mutable {
      peer.set_context(running);
      echo(peer);
      peer.close();
      open.done();
    });
  }
  stop.close();  // should accept have failed by itself
  running.cancel();
  open.wait();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  examples::raise_descriptor_limit();
  return baton::run([&] { return serve(argc > 1 ? argv[1] : "127.0.0.1:7000"); });
}
