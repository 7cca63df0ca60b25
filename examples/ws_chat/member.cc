#include "member.h"

#include "turn_stream.h"

#include "http/response.h"

#include <baton/netpoll/asio.h>

#include <absl/cleanup/cleanup.h>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ws_chat {

namespace {

namespace beast = boost::beast;
namespace websocket = beast::websocket;
using namespace std::chrono_literals;
using baton::net::asio_stream;

constexpr std::size_t message_max = 2'000;
constexpr auto ping_every = 20s;
constexpr auto patience = 50s;

class member {
 public:
  member(http::connection& c, room& all)
      : stream_(c.upgrade(), patience, [&c] { return c.draining(); }),
        socket_(stream_),
        room_(all),
        seat_([this] { stream_.drop(); }) {
    socket_.read_message_max(message_max);
    stream_.on_stop = [this] { seat_.outbox().close(); };
  }

  void serve(const beast::http::request<beast::http::empty_body>& upgrade) {
    std::unique_lock turn(stream_);
    beast::error_code ec;
    socket_.accept(upgrade, ec);  // refuses what is no request for a WebSocket
    if (ec) return;
    const auto writes = baton::spawn([this] { write(); });  // joins at the end, which needs the turn
    const absl::Cleanup leave = [&] {
      if (turn.owns_lock()) turn.unlock();
      room_.leave(seat_);
      seat_.outbox().close();
    };
    room_.join(seat_);
    read(turn);
    stream_.linger();
    turn.unlock();
    if (!name_.empty()) room_.say("* " + name_ + " has left");
  }

 private:
  // The first message is the name.
  void read(std::unique_lock<turn_stream>& turn) {
    for (;;) {
      beast::flat_buffer buffer;
      beast::error_code ec;
      socket_.read(buffer, ec);
      if (ec) return;
      if (!socket_.got_text()) return socket_.close(websocket::close_code::unknown_data, ec);
      const std::string text = beast::buffers_to_string(buffer.data());
      turn.unlock();
      if (name_.empty()) {
        name_ = as_name(text);
        room_.say("* " + name_ + " has joined");
      } else {
        room_.say(name_ + ": " + text);
      }
      turn.lock();
    }
  }

  // Not too long, cut between two characters; a '*' begins what the room itself says.
  static std::string as_name(std::string name) {
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
    std::size_t size = std::min<std::size_t>(name.size(), 40);
    while (size < name.size() && continues(name[size])) --size;
    name.resize(size);
    return name.empty() || name.front() == '*' ? "guest" : name;
  }

  void write() {
    for (;;) {
      std::optional<line> next;
      const auto status = seat_.outbox().receive_for(next, ping_every);
      const std::lock_guard turn(stream_);
      if (!socket_.is_open()) return;
      beast::error_code ec;
      if (status == baton::channel_status::closed) {
        stream_.end_reads();
        socket_.close({websocket::close_code::going_away, "the server stops"}, ec);
        static_cast<void>(stream_.close_write());
        return;
      }
      if (status == baton::channel_status::ok) {
        socket_.write(boost::asio::buffer(**next), ec);
      } else if (!stream_.was_heard()) {
        socket_.ping({}, ec);
      }
      if (ec) return stream_.drop();
    }
  }

  turn_stream stream_;
  websocket::stream<asio_stream<turn_stream&>, false> socket_;
  room& room_;
  seat seat_;
  std::string name_;
};

// A page of another site must not speak in the name of a user of this one.
bool is_from_elsewhere(const http::request& r) {
  const std::string_view origin = r.value_of("Origin");
  const std::size_t scheme_end = origin.find("://");
  return scheme_end != std::string_view::npos && origin.substr(scheme_end + 3) != r.host;
}

}  // namespace

void serve_member(const http::request& r, http::connection& c, room& all) {
  if (is_from_elsewhere(r)) return respond_with_error(r, 403, c.out());
  beast::http::request<beast::http::empty_body> upgrade(beast::http::verb::get, "/chat", r.minor_version + 10);
  upgrade.method_string({r.method.data(), r.method.size()});
  for (const http::field& f : r.fields) {
    upgrade.insert({f.name.data(), f.name.size()}, {f.value.data(), f.value.size()});
  }
  if (!websocket::is_upgrade(upgrade)) return respond_with_error(r, 426, c.out(), "Upgrade: websocket\r\n");
  member(c, all).serve(upgrade);
}

}  // namespace ws_chat
