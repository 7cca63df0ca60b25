// netpoll/asio.h: Boost.Beast's HTTP and WebSocket over tcp and tls.
#include "tls_test_support.h"

#include <baton/netpoll/asio.h>
#include <baton/runtime/context.h>

#include <array>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <cerrno>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;

template <class Stream>
struct pair_of;

template <>
struct pair_of<tcp_stream> {
  static auto make() { return connect(); }
};
template <>
struct pair_of<tls_stream> {
  static auto make() { return connect_tls(); }
};

template <class Stream>
class AsioStream : public testing::Test {};
using Streams = testing::Types<tcp_stream, tls_stream>;
TYPED_TEST_SUITE(AsioStream, Streams);

static_assert(beast::is_sync_read_stream<asio_stream<tcp_stream>>::value);
static_assert(beast::is_sync_write_stream<asio_stream<tls_stream&>>::value);
static_assert(beast::has_get_executor<asio_stream<tls_stream>>::value);

TYPED_TEST(AsioStream, ReadsWritesAndEnds) {
  run([] {
    auto c = pair_of<TypeParam>::make();
    asio_stream client(std::move(c.client));  // owns it
    asio_stream server(c.server);             // refers to it
    const std::string first(100'000, 'a');
    std::vector<asio::const_buffer> many = {asio::buffer(first), asio::const_buffer(), asio::buffer("b", 1)};
    for (int i = 0; i < 40; ++i) many.push_back(asio::buffer("0123456789", 10));
    auto writer = spawn([&] { EXPECT_EQ(asio::write(client, many), 100'401U); });
    std::string got(100'401, '\0');
    std::array<asio::mutable_buffer, 3> into = {asio::buffer(got.data(), 10), asio::mutable_buffer(),
                                                asio::buffer(got.data() + 10, got.size() - 10)};
    EXPECT_EQ(asio::read(server, into), got.size());
    EXPECT_EQ(got.substr(0, 100'000), first);
    EXPECT_EQ(got.substr(100'391), "0123456789");
    writer.join();
    EXPECT_EQ(server.read_some(asio::mutable_buffer()), 0U);  // at once
    EXPECT_EQ(server.write_some(asio::const_buffer()), 0U);

    EXPECT_TRUE(client.next_layer().close_write().ok());
    boost::system::error_code ec;
    char buffer[10];
    EXPECT_EQ(server.read_some(asio::buffer(buffer), ec), 0U);
    EXPECT_EQ(ec, asio::error::eof);
    EXPECT_THROW(server.read_some(asio::buffer(buffer)), boost::system::system_error);
    client.write_some(asio::buffer("x", 1), ec);
    EXPECT_EQ(ec, boost::system::errc::broken_pipe);
    EXPECT_NE(client.last_write_status().message().find("write 127.0.0.1"), absl::string_view::npos);
  });
}

TYPED_TEST(AsioStream, ErrorsAreAsiosWhereAsioHasThem) {
  run([] {
    auto c = pair_of<TypeParam>::make();
    asio_stream client(c.client);
    boost::system::error_code ec;
    char buffer[10];
    c.client.set_deadline(clock::now());
    client.read_some(asio::buffer(buffer), ec);
    EXPECT_EQ(ec, asio::error::timed_out);
    c.client.set_deadline(clock::time_point::max());
    const cancellable_context ctx = with_cancel(context::background());
    c.client.set_context(ctx);
    ctx.cancel(absl::ResourceExhaustedError("too much"));
    client.read_some(asio::buffer(buffer), ec);
    EXPECT_EQ(ec.category(), status_category());
    EXPECT_EQ(ec.value(), static_cast<int>(absl::StatusCode::kResourceExhausted));
    EXPECT_EQ(ec.message(), "RESOURCE_EXHAUSTED");
    EXPECT_NE(client.last_read_status().message().find("too much"), absl::string_view::npos);
    c.client.close();
    client.read_some(asio::buffer(buffer), ec);
    EXPECT_EQ(ec, asio::error::operation_aborted);
    EXPECT_FALSE(to_error_code(absl::OkStatus()));
  });
}

TYPED_TEST(AsioStream, BeastHttp) {
  run([] {
    auto c = pair_of<TypeParam>::make();
    const std::string body = pattern(200'000);
    auto serves = spawn([&] {
      asio_stream peer(std::move(c.server));
      beast::flat_buffer buffer;
      for (;;) {
        http::request<http::string_body> request;
        boost::system::error_code ec;
        http::read(peer, buffer, request, ec);
        if (ec == http::error::end_of_stream) return;
        ASSERT_FALSE(ec) << ec.message();
        http::response<http::string_body> response(http::status::ok, request.version());
        response.body() = std::string(request.target()) + request.body();
        response.keep_alive(request.keep_alive());
        response.prepare_payload();
        http::write(peer, response);
      }
    });
    asio_stream peer(c.client);
    beast::flat_buffer buffer;
    for (int i = 0; i < 3; ++i) {
      http::request<http::string_body> request(http::verb::post, "/" + std::to_string(i), 11);
      request.set(http::field::host, "localhost");
      request.body() = body;
      request.prepare_payload();
      http::write(peer, request);
      http::response<http::string_body> response;
      http::read(peer, buffer, response);
      EXPECT_EQ(response.result(), http::status::ok);
      EXPECT_EQ(response.body(), "/" + std::to_string(i) + body);
    }
    EXPECT_TRUE(c.client.close_write().ok());
    serves.join();
  });
}

TYPED_TEST(AsioStream, BeastWebSocket) {
  run([] {
    auto c = pair_of<TypeParam>::make();
    auto serves = spawn([&] {
      websocket::stream<asio_stream<TypeParam>> ws{asio_stream(std::move(c.server))};
      ws.accept();
      for (;;) {
        beast::flat_buffer message;
        boost::system::error_code ec;
        ws.read(message, ec);
        if (ec) {
          EXPECT_EQ(ec, websocket::error::closed) << ec.message();
          EXPECT_EQ(ws.reason().code, websocket::close_code::normal);
          return;
        }
        ws.text(ws.got_text());
        ws.write(message.data());
      }
    });
    websocket::stream<asio_stream<TypeParam>> ws{asio_stream(std::move(c.client))};
    ws.handshake("localhost", "/");
    for (const std::size_t size : {0U, 1U, 125U, 126U, 65'536U, 300'000U}) {
      const std::string text = pattern(size);
      ws.binary(true);
      ws.write(asio::buffer(text));
      beast::flat_buffer back;
      ws.read(back);
      EXPECT_EQ(beast::buffers_to_string(back.data()), text);
    }
    ws.close(websocket::close_code::normal);
    serves.join();
  });
}

// A stream that is cut off does not end a message.
TEST(AsioStreamOfTls, TruncationIsNoEof) {
  run([] {
    tls_connection c = connect_tls();
    asio_stream client(c.client);
    must(c.server.write("x"));
    char buffer[10];
    EXPECT_EQ(client.read_some(asio::buffer(buffer)), 1U);
    ::shutdown(c.server.native_handle(), SHUT_WR);
    boost::system::error_code ec;
    client.read_some(asio::buffer(buffer), ec);
    EXPECT_EQ(ec.category(), status_category());
    EXPECT_EQ(ec.value(), static_cast<int>(absl::StatusCode::kDataLoss));
  });
}

}  // namespace
}  // namespace baton::net::test
