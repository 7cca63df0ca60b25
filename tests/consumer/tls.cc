// A program outside the repository that uses baton::tls and netpoll/asio.h.
#include <baton/baton.h>
#include <baton/netpoll/asio.h>
#include <baton/netpoll/tls.h>

#include <cstdio>

int main() {
  return baton::run([] {
    const auto context = baton::net::tls_context::client();
    if (!context.ok()) return 1;
    auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
    auto tcp = baton::net::dial(listener->local_address().to_string());
    listener->accept()->close();
    const auto tls = baton::net::tls_stream::connect(*std::move(tcp), *context, "localhost");
    std::printf("tls: %s\n", tls.status().ToString().c_str());
    baton::net::asio_stream<baton::net::tls_stream> none{baton::net::tls_stream()};
    boost::system::error_code ec;
    char buffer[1];
    none.read_some(boost::asio::buffer(buffer), ec);
    return !tls.ok() && ec ? 0 : 1;
  });
}
