// What the servers with baton share: a listener on the loopback, and a fiber for each connection.
#pragma once

#include <baton/netpoll/tcp_listener.h>
#include <baton/netpoll/tcp_stream.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

namespace bench {

// main() of a server: [port] [procs]. Prints "port N"; port 0 or none: the kernel chooses one. serve(stream) is a
// connection's fiber. Returns only if something is wrong.
template <class Serve>
int serve_clients(int argc, char** argv, Serve serve) {
  const std::string port = argc > 1 ? argv[1] : "0";
  const int procs = argc > 2 ? std::atoi(argv[2]) : 1;
  const auto fail = [](const absl::Status& why) {
    std::fprintf(stderr, "%s\n", why.ToString().c_str());
    return 1;
  };
  return baton::run(
      [&] {
        auto listener = baton::net::tcp_listener::bind("127.0.0.1:" + port);
        if (!listener.ok()) return fail(listener.status());
        std::printf("port %d\n", listener->local_address().port());
        std::fflush(stdout);
        for (;;) {
          auto peer = listener->accept();
          if (!peer.ok()) return fail(peer.status());
          baton::go(serve, std::move(*peer));
        }
      },
      {.procs = procs});
}

}  // namespace bench
