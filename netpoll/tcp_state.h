// What a tcp_stream owns. Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor.h>

#include <string>
#include <string_view>

namespace baton::net {

struct tcp_state {
  static constexpr std::string_view kind = "tcp stream";

  descriptor io;
  // Written before the user gets the stream.
  address local;
  address remote;

  [[nodiscard]] std::string name() const { return local.to_string() + "->" + remote.to_string(); }
};

}  // namespace baton::net
