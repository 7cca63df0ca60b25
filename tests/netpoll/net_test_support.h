// What the tests of netpoll share.
#pragma once

#include <baton/netpoll/listener_state.h>
#include <baton/netpoll/net.h>
#include <baton/netpoll/tcp_state.h>
#include <baton/netpoll/udp_state.h>
#include <baton/netpoll/unix_state.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <gtest/gtest.h>
#include <chrono>
#include <string>
#include <utility>

namespace baton::net {

// Gives tests access to the state of an object that owns a descriptor. The including file includes the header of its
// state.
struct test_access {
  template <class Owner>
  static descriptor& io(Owner& owner) {
    return owner.state_->io;
  }
};

}  // namespace baton::net

namespace baton::net::test {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// Lets others run until the condition holds. This is not a sleep: it waits for what the test needs, however long that
// takes.
template <class Condition>
void until(Condition&& condition) {
  while (!condition()) this_fiber::yield();
}

template <class Io>
void until_reader_waits(Io& s) {
  until([&s] { return test_access::io(s).has_waiter(poll_side::read); });
}
template <class Io>
void until_writer_waits(Io& s) {
  until([&s] { return test_access::io(s).has_waiter(poll_side::write); });
}

template <class T>
T must(absl::StatusOr<T> v) {
  if (!v.ok()) {
    ADD_FAILURE() << v.status();
    std::abort();
  }
  return *std::move(v);
}

inline tcp_listener listen(const std::string& where = "127.0.0.1:0", listen_options options = {}) {
  return must(tcp_listener::bind(where, options));
}

struct connection {
  tcp_stream client;
  tcp_stream server;
};

inline connection connect(tcp_listener& l) {
  connection c;
  c.client = must(dial(l.local_address().to_string()));
  c.server = must(l.accept());
  return c;
}

inline connection connect() {
  tcp_listener l = listen();
  return connect(l);
}

// Small buffers on both sides, so that writes soon have to wait.
inline void shrink_buffers(tcp_stream& s) {
  const int size = 64 * 1024;
  ::setsockopt(s.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  ::setsockopt(s.native_handle(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

}  // namespace baton::net::test
