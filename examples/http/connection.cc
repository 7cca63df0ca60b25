// Requests that have arrived together (pipelining) are answered together: the responses go out when the buffer holds no
// further complete request, just before the connection waits for more.
//
// Deadlines. A connection may be idle for idle_timeout. Once a request has begun, all of it must come within
// header_timeout. A request that comes in one piece, as most do, never needs the latter deadline, and the idle deadline
// is renewed only when an eighth of it has passed. So most requests touch no timer.
//
// Bodies are read and dropped before the answer: no route wants one, and the rest of a body must not be taken for the
// next request.
#include "http/connection.h"

#include "http/head_finder.h"
#include "http/response.h"
#include "http/server.h"

#include <cstring>

namespace http {

using clock = std::chrono::steady_clock;

connection::connection(server& s, peer& stream) : server_(s), stream_(stream), out_(stream, s.config().write_timeout) {}

bool connection::draining() const { return server_.draining(); }

void connection::run() {
  read_within(server_.config().header_timeout);
  for (bool more = true; more;) {
    request r;
    const int status = receive(r);
    if (status == over) return;
    if (status != accepted) return refuse(r, status);
    more = answer(r);
  }
  if (!is_upgraded_ && out_.flush()) linger();
}

int connection::receive(request& r) {
  begun_ = timed_ = waits_ = false;
  request_parser parser(r, body_max);
  if (const int status = receive_head(parser); status != accepted) return status;
  return receive_body(r, parser);
}

int connection::receive_head(request_parser& parser) {
  head_finder finder;
  for (std::size_t size = 0;;) {
    if (!begun_) skip_empty_lines();
    if (const int status = finder.find(unparsed(), size); status != accepted) return status;
    if (size > 0) {
      head_.assign(unparsed(), 0, size);
      begin_ += size;
      return parser.read_head(head_);
    }
    if (const int status = receive_more(); status != accepted) return status;
  }
}

int connection::receive_body(const request& r, request_parser& parser) {
  bool invited = !r.expects_continue;
  for (;;) {
    std::string_view bytes = unparsed();
    const int status = parser.take_body(bytes);
    begin_ = end_ - bytes.size();
    if (status != accepted || parser.is_complete()) return status;
    if (bytes.size() == buffer_.size()) return 431;  // a line of a chunk, or a trailer, that has no end
    if (!invited) out_ << "HTTP/1.1 100 Continue\r\n\r\n";
    invited = true;
    if (const int more = receive_more(); more != accepted) return more;
  }
}

int connection::receive_more() {
  if (!out_.flush()) return over;
  if (begun_ && !timed_) {
    timed_ = true;
    read_within(server_.config().header_timeout);
  } else if (!begun_ && served_ && !waits_) {
    waits_ = true;  // the connection is still idle after empty lines
    wait_idle();
  }
  if (server_.draining()) return over;  // after the deadline was set: see server.cc

  const auto n = fill();
  if (n.ok() && *n > 0) return accepted;
  if (!begun_ || server_.draining()) return over;
  if (n.ok()) return 400;  // the stream has ended within a request
  return absl::IsDeadlineExceeded(n.status()) ? 408 : over;
}

bool connection::answer(request& r) {
  r.keep_alive = r.keep_alive && !server_.draining();
  served_ = true;
  server_.count().requests.fetch_add(1, std::memory_order_relaxed);
  server_.answer(r, *this);
  return !is_upgraded_ && out_.flush_if_long() && r.keep_alive;
}

void connection::refuse(const request& r, int status) {
  server_.count().refused.fetch_add(1, std::memory_order_relaxed);
  request last = r;
  last.keep_alive = false;
  respond_with_error(last, status, out_);
  if (out_.flush()) linger();
}

// The peer may still be sending. If the server closed now, the kernel would reset the connection, and the peer might
// lose the response that gives the reason. So the server closes its sending side, and reads on for a while.
void connection::linger() {
  if (!stream_.close_write().ok()) return;
  read_within(std::chrono::seconds(1));
  do {
    begin_ = end_ = 0;
  } while (fill().value_or(0) > 0);
}

// Some clients end a body with an extra empty line. RFC 9112, section 2.2, asks servers to tolerate it.
void connection::skip_empty_lines() {
  while (unparsed().starts_with("\r\n")) begin_ += 2;
  begun_ = !unparsed().empty() && unparsed() != "\r";
}

absl::StatusOr<std::size_t> connection::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  auto n = stream_.read(baton::bytes(buffer_).drop(end_));
  if (n.ok()) end_ += *n;
  return n;
}

void connection::read_within(std::chrono::milliseconds time) {
  stream_.set_read_deadline(clock::now() + time);
  idle_since_.reset();
}

void connection::wait_idle() {
  const auto now = clock::now();
  const auto idle = server_.config().idle_timeout;
  if (idle_since_ && now - *idle_since_ < idle / 8) return;
  stream_.set_read_deadline(now + idle);
  idle_since_ = now;
}

}  // namespace http
