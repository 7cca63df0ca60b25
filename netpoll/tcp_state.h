// What a tcp_stream and a tcp_listener own. Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor.h>

#include <memory>
#include <string>

namespace baton::net {

struct tcp_state {
  descriptor io;
  // Written before the stream is handed to its user.
  address local;
  address remote;

  [[nodiscard]] std::string name() const { return local.to_string() + "->" + remote.to_string(); }
};

struct listener_state {
  descriptor io;
  address local;

  [[nodiscard]] std::string name() const { return local.to_string(); }
};

}  // namespace baton::net
