// Public API: sockets that accept connections at a path of this host, or at an abstract name ("@name").
//
//   auto listener = baton::net::unix_listener::bind("/run/server.sock", {.replace_stale = true});
//   if (!listener.ok()) return listener.status();
//   auto stream = listener->accept();
//
// Thread-safe: any number of fibers and threads may accept (one at a time is served), and close() may be called from
// anywhere. Deadlines and contexts end accept(), see descriptor_owner.h. close() removes the socket file; a process
// that is killed leaves it, see unix_options.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/descriptor_owner.h>
#include <baton/netpoll/unix_options.h>
#include <baton/netpoll/unix_seqpacket.h>
#include <baton/netpoll/unix_stream.h>

#include <absl/status/statusor.h>
#include <string>

namespace baton::net {

struct unix_listener_state;

// Peer is unix_stream or unix_seqpacket.
template <class Peer>
class basic_unix_listener : public descriptor_owner<unix_listener_state> {
 public:
  basic_unix_listener() noexcept = default;  // not open

  // Switches. INVALID_ARGUMENT: the path is empty, too long, or has a NUL inside. EADDRINUSE: there is such a file, or
  // a socket has the abstract name; see unix_options::replace_stale.
  static absl::StatusOr<basic_unix_listener> bind(const std::string& path, unix_options options = {});
  // Takes over a socket that listens, and sets O_NONBLOCK. close() does not remove its file. After an error (EBADF,
  // ENOTSOCK, EPROTOTYPE: of another kind, EINVAL: it does not listen, ENOMEM …) it still belongs to the caller. Never
  // switches.
  [[nodiscard]] static absl::StatusOr<basic_unix_listener> adopt(int fd);

  // Switches. Returns the next connection. Errors, and what is waited out, as of tcp_listener::accept().
  absl::StatusOr<Peer> accept();

  [[nodiscard]] address local_address() const;

 private:
  using descriptor_owner::descriptor_owner;
};

using unix_listener = basic_unix_listener<unix_stream>;
using unix_seqpacket_listener = basic_unix_listener<unix_seqpacket>;

}  // namespace baton::net
