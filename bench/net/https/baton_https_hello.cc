// baton_hello over TLS.
//
//   baton_https_hello port procs certificate key     prints "port N"; port 0: the kernel chooses one
#include "../http/hello_connection.h"
#include "../server.h"

#include <baton/netpoll/tls.h>

#include <cstdio>
#include <utility>

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const auto context = baton::net::tls_context::server(argv[3], argv[4]);
  if (!context.ok()) {
    std::fprintf(stderr, "%s\n", context.status().ToString().c_str());
    return 1;
  }
  return bench::serve_clients(argc, argv, [&context](baton::net::tcp_stream peer) {
    auto stream = baton::net::tls_stream::accept(std::move(peer), *context);
    if (stream.ok()) bench::http::hello_connection(*std::move(stream)).run();
  });
}
