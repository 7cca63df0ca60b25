#include <baton/netpoll/adopt_socket.h>

#include <baton/netpoll/socket_calls.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <cerrno>

namespace baton::net {

namespace {

// Returns 0 or an errno.
int check_kind(int fd, const socket_kind& wanted) noexcept {
  const auto ask = [fd](int option, int& value) {
    const long r = calls::get_option(fd, SOL_SOCKET, option, value);
    return r < 0 ? static_cast<int>(-r) : 0;
  };
  int domain = 0;
  int type = 0;
  int protocol = 0;
  int listens = 0;
  if (const int error = ask(SO_DOMAIN, domain)) return error;
  if (const int error = ask(SO_TYPE, type)) return error;
  if (const int error = ask(SO_PROTOCOL, protocol)) return error;
  if (const int error = ask(SO_ACCEPTCONN, listens)) return error;
  const bool is_ip = domain == AF_INET || domain == AF_INET6;
  const bool fits = wanted.domain == socket_kind::family::ip ? is_ip : domain == AF_UNIX;
  if (!fits || type != wanted.type) return EPROTOTYPE;
  if (is_ip && type == SOCK_DGRAM && protocol != IPPROTO_UDP) return EPROTOTYPE;
  return (listens != 0) == wanted.listens ? 0 : EINVAL;
}

}  // namespace

int adopt_socket(int fd, const socket_kind& wanted, descriptor& io, address& local, address& remote,
                 descriptor::edges known) {
  if (const int error = check_kind(fd, wanted)) return error;
  if (const long r = calls::local_address(fd, local); r < 0) return static_cast<int>(-r);
  if (!wanted.listens) {
    const long r = calls::remote_address(fd, remote);
    if (r < 0 && (r != -ENOTCONN || wanted.type != SOCK_DGRAM)) return static_cast<int>(-r);
  }
  return io.adopt(fd, known);
}

}  // namespace baton::net
