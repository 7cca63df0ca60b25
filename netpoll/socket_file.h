// The file of a bound Unix socket. Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/unix_options.h>

#include <sys/types.h>
#include <string>

namespace baton::net {

class socket_file {
 public:
  socket_file() noexcept = default;
  ~socket_file() { remove(); }  // Switches
  socket_file(const socket_file&) = delete;
  socket_file& operator=(const socket_file&) = delete;

  // Switches. Binds the socket to the address: a path, an abstract name, or "@", for which the kernel chooses an
  // abstract name. Applies `mode`, `replace_stale` and `unlink_at_close`. Returns 0 or an errno. Called once.
  [[nodiscard]] int bind(int fd, const address& where, const unix_options& options);

  // Switches. Removes the file if it is the one that bind() made. Does nothing the second time, or for a name that is
  // no path. Requires: the socket is still open, so that no other file can have the number of its inode.
  void remove() noexcept;
  // The file stays.
  void forget() noexcept { path_.clear(); }

 private:
  std::string path_;  // empty: there is nothing to remove
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace baton::net
