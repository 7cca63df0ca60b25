// Answers every request with a greeting, a fiber for each connection. What hyper and Go answer to the same request:
// the same header fields, a body of 13 bytes.
//
//   baton_hello [port] [procs]     prints "port N"; port 0 or none: the kernel chooses one
#include "hello_connection.h"

#include "../server.h"

#include <utility>

int main(int argc, char** argv) {
  return bench::serve_clients(
      argc, argv, [](baton::net::tcp_stream peer) { bench::http::hello_connection(std::move(peer)).run(); });
}
