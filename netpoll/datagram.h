// Public API: datagrams, as udp_socket and unix_datagram receive and send them. A datagram may be empty.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/syscall/bytes.h>

#include <cstddef>

namespace baton::net {

// What was received into a buffer. A plain value.
struct datagram {
  std::size_t size = 0;    // bytes in the buffer
  address from = {};       // names nothing if the sender has no name
  bool truncated = false;  // it was larger than the buffer, and the rest is lost
  // With udp_options::gro: the buffer holds several datagrams of this size, the last one perhaps shorter. 0: one.
  std::size_t segment = 0;
};

// A buffer for receive_many(), and what has come into it.
struct incoming {
  bytes buffer;
  std::size_t size = 0;
  address from = {};
  bool truncated = false;
  std::size_t segment = 0;
};

// A datagram for send_many().
struct outgoing {
  const_bytes data;
  address to = {};  // if it names nothing: the peer that the socket is connected to
  // Not 0: `data` is several datagrams of this size, the last one perhaps shorter. The kernel cuts them where it has
  // UDP_SEGMENT; else send_many() does.
  std::size_t segment = 0;
};

}  // namespace baton::net
