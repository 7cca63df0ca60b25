// The echo server as one writes it with baton: a fiber for each connection, straight down.
//
//   baton_echo [port] [procs]     prints "port N"; port 0 or none: the kernel chooses one
#include "../server.h"

#include <cstddef>

namespace {

void serve(baton::net::tcp_stream peer) {
  std::byte buffer[16 * 1024];
  for (;;) {
    const auto n = peer.read(buffer);
    if (!n.ok() || *n == 0) return;
    if (!peer.write(baton::const_bytes(buffer, *n)).ok()) return;
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::serve_clients(argc, argv, serve); }
