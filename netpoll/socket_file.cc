// bind(2) makes the file, and nothing but unlink(2) removes it: it stays when its process is killed. Such a file is
// stale. Only the kernel knows: connect(2) gives ECONNREFUSED for a socket file to which no socket is bound. The probe
// is a datagram socket: a listener refuses it (EPROTOTYPE), and a datagram socket does not notice it.
//
// remove() comes before close(2), as in Go. After it, another process might have bound the path again.
#include <baton/netpoll/socket_file.h>

#include <baton/netpoll/socket_calls.h>
#include <baton/syscall/names.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/sockets.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <cerrno>
#include <new>

namespace baton::net {

namespace {

// Switches. Returns 0 or an errno.
int bind_to(int fd, const address& where) noexcept {
  sockaddr_storage sa;
  socklen_t size = where.to_sockaddr(sa);
  if (where.path() == "@") size = sizeof(sa_family_t);
  return sys::bind(fd, reinterpret_cast<const sockaddr*>(&sa), size).error();
}

// Switches.
bool is_socket_file(const std::string& path) {
  const auto found = sys::lstat(path);
  return found && S_ISSOCK(found->st_mode);
}

// Switches. Returns true if no socket is bound to the socket file.
bool is_stale(const address& where) {
  if (!is_socket_file(where.path())) return false;
  const long number = calls::open_socket(AF_UNIX, SOCK_DGRAM);
  if (number < 0) return false;
  const sys::owned_fd probe(static_cast<int>(number));
  sockaddr_storage sa;
  const socklen_t size = where.to_sockaddr(sa);
  return sys::connect(probe.get(), reinterpret_cast<const sockaddr*>(&sa), size).error() == ECONNREFUSED;
}

}  // namespace

int socket_file::bind(int fd, const address& where, const unix_options& options) {
  const bool is_path = where.path().front() != '@';
  if (is_path && options.mode.has_value()) {
    // Before bind(2), which gives the file the socket's mode: the file never has another mode.
    if (const auto changed = sys::fchmod(fd, *options.mode); !changed) return changed.error();
  }
  std::string path = is_path && options.unlink_at_close ? where.path() : std::string();
  int error = bind_to(fd, where);
  if (error == EADDRINUSE && is_path && options.replace_stale && is_stale(where)) {
    if (const auto gone = sys::unlink(where.path()); !gone && gone.error() != ENOENT) return gone.error();
    error = bind_to(fd, where);
  }
  if (error != 0 || path.empty()) return error;
  const auto made = sys::lstat(path);
  if (!made) {
    (void)sys::unlink(path);
    return made.error();
  }
  device_ = made->st_dev;
  inode_ = made->st_ino;
  path_ = std::move(path);
  return 0;
}

void socket_file::remove() noexcept {
  if (path_.empty()) return;
  const auto there = sys::lstat(path_);
  if (there && there->st_dev == device_ && there->st_ino == inode_) (void)sys::unlink(path_);
  path_.clear();
}

}  // namespace baton::net
