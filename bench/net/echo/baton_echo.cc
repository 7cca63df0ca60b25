// The echo server as one writes it with baton: a fiber for each connection, straight down.
//
//   baton_echo [port] [procs]     prints "port N"; port 0 or none: the kernel chooses one
#include <baton/netpoll/tcp_listener.h>
#include <baton/netpoll/tcp_stream.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

namespace {

void serve(baton::net::tcp_stream peer) {
  std::byte buffer[16 * 1024];
  for (;;) {
    const auto n = peer.read(buffer);
    if (!n.ok() || *n == 0) return;
    if (!peer.write(baton::const_bytes(buffer, *n)).ok()) return;
  }
}

int listen(const std::string& port) {
  auto listener = baton::net::tcp_listener::bind("127.0.0.1:" + port);
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
    return 1;
  }
  std::printf("port %d\n", listener->local_address().port());
  std::fflush(stdout);
  for (;;) {
    auto peer = listener->accept();
    if (!peer.ok()) {
      std::fprintf(stderr, "%s\n", peer.status().ToString().c_str());
      return 1;
    }
    baton::go(serve, std::move(*peer));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string port = argc > 1 ? argv[1] : "0";
  const int procs = argc > 2 ? std::atoi(argv[2]) : 1;
  return baton::run([&] { return listen(port); }, {.procs = procs});
}
