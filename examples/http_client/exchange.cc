#include "exchange.h"

#include <baton/netpoll/asio.h>

#include <absl/status/status.h>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <optional>
#include <utility>

namespace http_client {

namespace {

namespace beast = boost::beast;
using stream = baton::net::asio_stream<http::peer&>;
using parser = beast::http::response_parser<beast::http::string_body>;

auto from_now(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

// The stream's own status says more than its error code; other errors are Beast's, about what has come.
absl::Status status_of(const beast::error_code& ec, const absl::Status& of_stream, const url& what) {
  if (ec == beast::http::error::end_of_stream || ec == beast::http::error::partial_message) {
    return absl::UnavailableError(what.to_string() + ": the server has closed the connection");
  }
  if (ec == beast::http::error::body_limit || ec == beast::http::error::header_limit) {
    return absl::ResourceExhaustedError(what.to_string() + ": the response is too large");
  }
  if (ec.category() == beast::http::make_error_code(beast::http::error::bad_value).category()) {
    return absl::DataLossError(what.to_string() + ": bad response: " + ec.message());
  }
  return of_stream;
}

void send(stream& s, const url& what, beast::error_code& ec) {
  beast::http::request<beast::http::empty_body> request(beast::http::verb::get, what.target, 11);
  const bool has_own_port = what.port != (what.secure ? "443" : "80");
  request.set(beast::http::field::host, has_own_port ? what.authority() : what.host);
  request.set(beast::http::field::user_agent, "baton-http_client");
  request.set(beast::http::field::accept, "*/*");
  beast::http::write(s, request, ec);
}

// Reads heads until one is not that of an interim response (1xx).
void receive_head(stream& s, connection& c, const exchange_options& options, std::optional<parser>& p,
                  beast::error_code& ec) {
  constexpr int interim_max = 10;
  for (int i = 0; i <= interim_max; ++i) {
    p.emplace();
    p->body_limit(options.body_max);
    beast::http::read_header(s, c.received, *p, ec);
    if (ec || p->get().result_int() / 100 != 1) return;
  }
  ec = beast::http::error::bad_status;
}

}  // namespace

failure exchange(connection& c, const url& what, const exchange_options& options, const baton::context& ctx,
                 response& answer) {
  c.stream.set_context(ctx);
  c.stream.set_write_deadline(from_now(options.write_timeout));
  c.stream.set_read_deadline(from_now(options.header_timeout));
  stream s(c.stream);
  beast::error_code ec;
  send(s, what, ec);
  if (ec) return {status_of(ec, s.last_write_status(), what), c.was_used};
  std::optional<parser> p;
  receive_head(s, c, options, p, ec);
  if (ec) {
    const bool untouched = c.was_used && !p->got_some() && !ctx.is_done() && ec != boost::asio::error::timed_out;
    return {status_of(ec, s.last_read_status(), what), untouched};
  }
  while (!p->is_done() && !ec) {
    c.stream.set_read_deadline(from_now(options.body_timeout));
    beast::http::read_some(s, c.received, *p, ec);
  }
  if (ec) return {status_of(ec, s.last_read_status(), what)};
  answer.status = static_cast<int>(p->get().result_int());
  const auto location = p->get()[beast::http::field::location];
  answer.location.assign(location.data(), location.size());
  answer.can_go_on = p->keep_alive() && c.received.size() == 0;
  answer.body = std::move(p->get().body());
  return {};
}

}  // namespace http_client
