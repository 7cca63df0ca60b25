// A server that speaks enough of Redis's protocol for redis-cli and redis-benchmark, with a fiber for each connection.
//
//   key_value [address]          default 127.0.0.1:6379; port 0 lets the kernel choose
//
//   requests    reads the protocol
//   replies     writes it
//   store       the values, and their locks
//   commands    what can be done with them
//
// All requests that have come together are answered by one write. Ctrl-C or SIGTERM ends the server; the values are
// gone then. Exit code 0: a signal ended it; 1: it could not listen, or not accept any more.
#include <baton/baton.h>

#include "../command_line.h"
#include "../descriptor_limit.h"
#include "../serve_until_signal.h"
#include "commands.h"
#include "requests.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using key_value::requests;

// The server keeps at most this much of the replies that a client does not read.
constexpr std::size_t replies_max = 64 * 1024;
constexpr std::chrono::seconds longest_write{60};

std::int64_t now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

bool send(baton::net::tcp_stream& peer, key_value::replies& out) {
  if (out.size() == 0) return true;
  peer.set_write_deadline(std::chrono::steady_clock::now() + longest_write);
  const bool sent = peer.write(out.bytes()).ok();
  out.sent();
  return sent;
}

// Answers the requests that are complete. Returns false at the end of the conversation.
bool answer(key_value::store& store, requests& in, baton::net::tcp_stream& peer, key_value::replies& out) {
  const std::int64_t now = now_ms();
  for (;;) {
    switch (in.next()) {
      case requests::state::partial: return send(peer, out);
      case requests::state::malformed:
        out.error("ERR Protocol error: " + std::string(in.error()));
        send(peer, out);
        return false;
      case requests::state::complete: break;
    }
    if (in.words().empty()) continue;
    const bool goes_on = key_value::run_command(store, in.words(), now, out);
    if (!goes_on || out.size() >= replies_max) {
      if (!send(peer, out) || !goes_on) return false;
    }
  }
}

void converse(key_value::store& store, baton::net::tcp_stream& peer, const baton::context& running) {
  peer.set_context(running);
  requests in;
  key_value::replies out;
  for (;;) {
    const auto n = peer.read(in.room());
    if (!n.ok() || *n == 0) return;
    in.filled(*n);
    if (!answer(store, in, peer, out)) return;
  }
}

// Removes values whose time is over and that no request has met, one part at a time.
void sweep(key_value::store& store, const baton::context& running) {
  for (std::size_t part = 0; !running.wait_done_for(std::chrono::milliseconds(100));) {
    store.sweep(part, now_ms());
    part = (part + 1) % key_value::store::parts;
  }
}

int serve(const char* address) {
  auto listener = baton::net::tcp_listener::bind(address);
  if (!listener.ok()) return examples::failed("key_value", listener.status());
  key_value::store store;
  baton::task_group fibers;
  fibers.spawn([&store](const baton::context& running) { sweep(store, running); });
  const absl::Status end = examples::serve_until_signal(
      *listener, fibers,
      [&store](baton::net::tcp_stream& peer, const baton::context& running) { converse(store, peer, running); });
  return end.ok() ? 0 : examples::failed("key_value", end);
}  // the group ends the connections and the sweep, and waits for their fibers

}  // namespace

int main(int argc, char** argv) {
  if (!examples::are_operands(argc, argv, 1)) return examples::misused("key_value [address]");
  examples::raise_descriptor_limit();
  return examples::run("key_value", [&] { return serve(argc > 1 ? argv[1] : "127.0.0.1:6379"); });
}
