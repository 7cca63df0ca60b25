// Public API: what Unix sockets have besides data: descriptors that come with it, and the peer's credentials.
//
// A descriptor that is sent is duplicated: the sender keeps its own. One that is received is close-on-exec, and belongs
// to the receiver. Descriptors that come with data which is read by other calls (read(), receive()) are closed.
#pragma once

#include <baton/netpoll/unix_options.h>
#include <baton/syscall/bytes.h>
#include <baton/syscall/owned_fd.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstddef>
#include <span>

namespace baton::net {

// What came with receive_fds().
struct unix_message {
  std::size_t size = 0;    // bytes in the buffer; 0 is the end of a stream or a connection
  std::size_t fds = 0;     // descriptors that were stored
  bool truncated = false;  // a packet or datagram was larger than the buffer; its rest is lost
  // Some descriptors are lost, and closed: more came than had room, or the process may have no more open (EMFILE).
  bool fds_lost = false;
};

// Base is two_sided_owner or byte_stream of a Unix socket's state. The calls queue behind reads or writes as read() and
// write() do, and have the same errors.
template <class Base>
class unix_socket : public Base {
 public:
  // Switches. Sends the data, and the descriptor with its first byte. INVALID_ARGUMENT: no data. EBADF: no descriptor;
  // ETOOMANYREFS: too many are under way and not received. On a stream, written_of(status) says how much was written
  // before an error; if that is not 0, the descriptor has gone, too.
  absl::Status send_fd(int fd, const_bytes data = "\0");
  // The same with up to 253 descriptors (EINVAL: more).
  absl::Status send_fds(std::span<const int> fds, const_bytes data = "\0");

  // Switches. Receives a byte and the descriptor that came with it. What else a packet or datagram carries is dropped.
  // FAILED_PRECONDITION: none came with it, or several (which are closed). OUT_OF_RANGE: the end. EMFILE: it came, but
  // the process may have no more open.
  absl::StatusOr<sys::owned_fd> receive_fd();
  // Switches. Receives data into the buffer, and descriptors into `fds`, from the first one on. On a stream it does not
  // read beyond data that came with descriptors. INVALID_ARGUMENT on a stream: no room for data.
  absl::StatusOr<unix_message> receive_fds(bytes buffer, std::span<sys::owned_fd> fds);

  // Returns the process that made the other end. FAILED_PRECONDITION for a datagram socket that is not an end of a
  // pair.
  absl::StatusOr<peer_credentials> credentials() const;

 protected:
  using Base::Base;
  unix_socket() noexcept = default;
  unix_socket(unix_socket&&) noexcept = default;
  unix_socket& operator=(unix_socket&&) noexcept = default;
  ~unix_socket() = default;
};

}  // namespace baton::net
