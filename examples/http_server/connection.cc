// Requests that have arrived together (pipelining) are answered together: responses are collected, and
// written when no complete request is left in the buffer, or before one that may take long.
//
// Deadlines: a connection may be idle for idle_timeout; once a request has begun, all of it must come
// within header_timeout. A complete request in one read, the usual case, touches no timer but the idle
// one, and that only every so often.
#include "connection.h"

#include "routes.h"
#include "server.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <algorithm>
#include <cstring>

namespace http_server {

namespace {

namespace http = boost::beast::http;
using parser = http::request_parser<http::string_body>;
using clock = std::chrono::steady_clock;

int status_of(boost::system::error_code error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  if (error == http::error::body_limit) return 413;
  if (error == http::error::bad_version) return 505;
  return 400;
}

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

void connection::run() {
  stream_.set_read_deadline(clock::now() + server_.config().header_timeout);
  while (serve_one() == next::another_request) {
  }
  static_cast<void>(flush());
}

connection::next connection::serve_one() {
  parser p;
  p.eager(true);
  p.header_limit(header_limit);
  p.body_limit(body_limit);
  bool begun = false;
  while (!p.is_done()) {
    if (begin_ < end_) {
      boost::system::error_code error;
      begin_ += p.put(boost::asio::const_buffer(buffer_.data() + begin_, end_ - begin_), error);
      if (error && error != http::error::need_more) {
        refuse(status_of(error));
        return next::close;
      }
      if (p.is_done()) break;
      if (!begun) {
        begun = true;
        stream_.set_read_deadline(clock::now() + server_.config().header_timeout);
      }
      if (begin_ == 0 && end_ == buffer_.size()) {
        refuse(431);
        return next::close;
      }
    }
    if (!flush()) return next::close;
    if (server_.draining() && !begun) return next::close;
    if (!fill()) {
      if (begun && !server_.draining()) refuse(408);
      return next::close;
    }
  }
  if (begun || first_) {
    stream_.set_read_deadline(clock::now() + server_.config().idle_timeout);
    // A drain that moved the deadline just before must not be undone.
    if (server_.draining()) stream_.set_read_deadline(clock::time_point::min());
  }
  first_ = false;
  server_.requests.fetch_add(1, std::memory_order_relaxed);

  const auto& message = p.get();
  const bool keep_alive = message.keep_alive() && !server_.draining();
  const request r{view(message.method_string()), view(message.target()), keep_alive};
  if (may_take_long(r) && !flush()) return next::close;
  respond(server_, r, out_);
  return keep_alive ? next::another_request : next::close;
}

bool connection::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  const auto n = stream_.read(baton::bytes(buffer_).drop(end_));
  if (!n.ok() || *n == 0) return false;
  end_ += *n;
  return true;
}

bool connection::flush() {
  if (out_.empty()) return true;
  const bool written = stream_.write(out_).ok();
  out_.clear();
  if (out_.capacity() > 256 * 1024) out_.shrink_to_fit();
  return written;
}

void connection::refuse(int status) {
  server_.refused.fetch_add(1, std::memory_order_relaxed);
  append_error(server_, status, false, out_);
}

}  // namespace http_server
