// What the types of Unix sockets own. Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/listener_state.h>
#include <baton/netpoll/socket_file.h>

#include <string>
#include <string_view>

namespace baton::net {

// Returns "/client->/server", the one of them that has a name, or `kind`.
[[nodiscard]] inline std::string unix_name(const address& local, const address& remote, std::string_view kind) {
  if (local.path().empty() && remote.path().empty()) return std::string(kind);
  if (local.path().empty() || local == remote) return remote.path();
  return remote.path().empty() ? local.path() : local.path() + "->" + remote.path();
}

struct unix_state {
  descriptor io;
  // Written before the user gets the socket.
  address local;
  address remote;
  socket_file file;  // of a datagram socket that is bound to a path

  // Switches.
  void last_use(last_use_for what) noexcept {
    if (what == last_use_for::release) file.forget();
    file.remove();
  }
};

struct unix_stream_state : unix_state {
  static constexpr std::string_view kind = "unix stream";
  static constexpr int type = SOCK_STREAM;
  static constexpr auto edges = descriptor::edges::local;
  [[nodiscard]] std::string name() const { return unix_name(local, remote, kind); }
};

struct unix_datagram_state : unix_state {
  static constexpr std::string_view kind = "unix datagram socket";
  static constexpr int type = SOCK_DGRAM;
  static constexpr auto edges = descriptor::edges::plain;  // its room is also that of the peer's queue
  [[nodiscard]] std::string name() const { return unix_name(local, remote, kind); }
};

struct unix_seqpacket_state : unix_state {
  static constexpr std::string_view kind = "unix seqpacket socket";
  static constexpr int type = SOCK_SEQPACKET;
  static constexpr auto edges = descriptor::edges::local;
  [[nodiscard]] std::string name() const { return unix_name(local, remote, kind); }
};

struct unix_listener_state : listener_state {
  static constexpr std::string_view kind = "unix listener";
  socket_file file;

  // Switches.
  void last_use(last_use_for what) noexcept {
    if (what == last_use_for::release) file.forget();
    file.remove();
    listener_state::last_use(what);
  }
};

}  // namespace baton::net
