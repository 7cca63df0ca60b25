// Public API: options of Unix sockets, and what the kernel knows of a peer.
#pragma once

#include <sys/types.h>
#include <optional>
#include <string>

namespace baton::net {

struct unix_options {
  int backlog = 4096;  // of listeners: connections that wait to be accepted; the kernel caps it (net.core.somaxconn)
  // Replaces a socket file at the path to which no socket is bound any more. Without this option such a file is
  // EADDRINUSE. Any other file, and a socket in use, always is. Nothing keeps apart two programs that replace the same
  // file at the same time: use a file_lock for that.
  bool replace_stale = false;
  // close() removes the socket file, if it is still the one that was made. release() leaves it.
  bool unlink_at_close = true;
  // The mode of the socket file, without the bits of the umask. A client needs the permission to write. None: 0777.
  std::optional<mode_t> mode = {};
  std::string local = {};  // of unix_datagram::connect(): the path or name to bind, so that the peer can answer
};

// The process that made the other end of a connection, as it was at that moment.
struct peer_credentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

}  // namespace baton::net
