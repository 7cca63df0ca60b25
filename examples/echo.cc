#include <baton/baton.h>

#include <cstddef>
#include <cstdio>
#include <utility>

void echo(baton::net::tcp_stream peer) {
  std::byte buffer[16 * 1024];
  for (;;) {
    const auto n = peer.read(buffer);  // parks this fiber, not the thread
    if (!n.ok() || *n == 0) return;
    if (!peer.write(baton::const_bytes(buffer, *n)).ok()) return;
  }
}

int failed(const absl::Status& why) {
  std::fprintf(stderr, "%s\n", why.ToString().c_str());
  return 1;
}

int main() {
  return baton::run([] {
    auto listener = baton::net::tcp_listener::bind("127.0.0.1:7000");
    if (!listener.ok()) return failed(listener.status());
    for (;;) {
      auto peer = listener->accept();
      if (!peer.ok()) return failed(peer.status());
      baton::go(echo, std::move(*peer));  // a fiber for each connection
    }
  });
}
