// The members of unix_socket. Internal to netpoll: the source of each Unix socket includes this file and says
//   template class unix_socket<its base>;
#pragma once

#include <baton/netpoll/descriptor_owner_members.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/unix_message_io.h>
#include <baton/netpoll/unix_socket.h>

#include <memory>
#include <type_traits>

namespace baton::net {

template <class Base>
absl::Status unix_socket<Base>::send_fd(int fd, const_bytes data) {
  return send_fds({&fd, 1}, data);
}

template <class Base>
absl::Status unix_socket<Base>::send_fds(std::span<const int> fds, const_bytes data) {
  auto* const s = this->state_.get();
  if (s == nullptr) return not_open("send descriptors", std::remove_reference_t<decltype(*s)>::kind);
  return send_with_fds(end_of(*s), fds, data);
}

template <class Base>
absl::StatusOr<sys::owned_fd> unix_socket<Base>::receive_fd() {
  auto* const s = this->state_.get();
  if (s == nullptr) return not_open("receive descriptor", std::remove_reference_t<decltype(*s)>::kind);
  return receive_one_fd(end_of(*s));
}

template <class Base>
absl::StatusOr<unix_message> unix_socket<Base>::receive_fds(bytes buffer, std::span<sys::owned_fd> fds) {
  auto* const s = this->state_.get();
  if (s == nullptr) return not_open("receive descriptors", std::remove_reference_t<decltype(*s)>::kind);
  return receive_with_fds(end_of(*s), buffer, fds, "receive descriptors");
}

template <class Base>
absl::StatusOr<peer_credentials> unix_socket<Base>::credentials() const {
  auto* const s = this->state_.get();
  if (s == nullptr) return not_open("ask for credentials", std::remove_reference_t<decltype(*s)>::kind);
  return credentials_of(end_of(*s));
}

}  // namespace baton::net
