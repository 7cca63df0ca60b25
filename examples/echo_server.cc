// A TCP echo server: one fiber per connection, written as if every call could block.
//
//   echo_server [address]        default 127.0.0.1:7000; port 0 lets the kernel choose
//
// Ctrl-C or SIGTERM closes the listener; connections end when their peers close them, or with the process.
#include <baton/baton.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <utility>

namespace {

void echo(baton::net::tcp_stream peer) {
  std::byte buffer[16 * 1024];
  for (;;) {
    const auto n = peer.read(buffer);         // parks this fiber, not the thread
    if (!n.ok() || *n == 0) return;           // an error, or the peer has closed
    if (!peer.write(baton::const_bytes(buffer, *n)).ok()) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return baton::run([&] {
    auto listener = baton::net::tcp_listener::bind(argc > 1 ? argv[1] : "127.0.0.1:7000");
    if (!listener.ok()) {
      std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
      return 1;
    }
    std::printf("listening on %s\n", listener->local_address().to_string().c_str());
    std::fflush(stdout);

    const baton::channel<int> stop(1);
    baton::os_signals::notify(stop, {SIGINT, SIGTERM});
    baton::go([&] {
      static_cast<void>(stop.receive());
      listener->close();                      // wakes the accept below
    });

    for (;;) {
      auto peer = listener->accept();
      if (!peer.ok()) return 0;
      baton::go(echo, std::move(*peer));
    }
  });
}
