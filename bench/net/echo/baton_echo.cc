// The echo server as one writes it with baton: a fiber for each connection, straight down.
//
//   baton_echo [port] [procs] [small]     prints "port N"; port 0 or none: the kernel chooses one
//
// small: the buffer has 1 KiB, so that a connection that waits holds one page of its stack and not two.
#include "../server.h"

#include <cstddef>

namespace {

template <std::size_t Size>
void serve(baton::net::tcp_stream peer) {
  std::byte buffer[Size];
  for (;;) {
    const auto n = peer.read(buffer);
    if (!n.ok() || *n == 0) return;
    if (!peer.write(baton::const_bytes(buffer, *n)).ok()) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return argc > 3 ? bench::serve_clients(argc, argv, serve<1024>) : bench::serve_clients(argc, argv, serve<16 * 1024>);
}
