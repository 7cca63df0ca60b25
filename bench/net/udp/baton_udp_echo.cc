// The UDP echo server as one writes it with baton: a fiber that receives what has come, and sends it back.
//
//   baton_udp_echo [port] [procs]     prints "port N"; port 0 or none: the kernel chooses one
#include <baton/netpoll/udp_socket.h>
#include <baton/runtime/run.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace {

constexpr std::size_t at_once = 64;
constexpr std::size_t largest = 2048;

absl::Status echo(baton::net::udp_socket& socket) {
  std::vector<std::byte> memory(at_once * largest);
  std::vector<baton::net::incoming> in(at_once);
  std::vector<baton::net::outgoing> out(at_once);
  for (std::size_t i = 0; i < at_once; ++i) in[i].buffer = std::span(memory).subspan(i * largest, largest);
  for (;;) {
    const auto n = socket.receive_many(in);
    if (!n.ok()) return n.status();
    const auto count = static_cast<std::size_t>(*n);
    for (std::size_t i = 0; i < count; ++i) {
      out[i].data = in[i].buffer.first(in[i].size);
      out[i].to = in[i].from;
    }
    for (std::size_t sent = 0; sent < count;) {
      const auto more = socket.send_many(std::span(out).first(count).subspan(sent));
      if (!more.ok()) return more.status();
      sent += static_cast<std::size_t>(*more);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string port = argc > 1 ? argv[1] : "0";
  return baton::run(
      [&] {
        auto socket = baton::net::udp_socket::bind("127.0.0.1:" + port);
        absl::Status end = socket.status();
        if (socket.ok()) {
          std::printf("port %d\n", socket->local_address().port());
          std::fflush(stdout);
          end = echo(*socket);
        }
        std::fprintf(stderr, "%s\n", end.ToString().c_str());
        return 1;
      },
      {.procs = argc > 2 ? std::atoi(argv[2]) : 1});
}
