#include <baton/netpoll/unix_seqpacket.h>

#include <baton/netpoll/datagram_io.h>
#include <baton/netpoll/socket_options.h>
#include <baton/netpoll/unix_connection.h>
#include <baton/netpoll/unix_socket_members.h>

namespace baton::net {

template class descriptor_owner<unix_seqpacket_state>;
template class two_sided_owner<unix_seqpacket_state>;
template class unix_socket<two_sided_owner<unix_seqpacket_state>>;

unix_seqpacket::unix_seqpacket(std::unique_ptr<unix_seqpacket_state> state) noexcept : unix_socket(std::move(state)) {}

absl::StatusOr<unix_seqpacket> unix_seqpacket::dial(const std::string& path, dial_options options) {
  absl::StatusOr<std::unique_ptr<unix_seqpacket_state>> s = dialled_state<unix_seqpacket_state>(path, options);
  if (!s.ok()) return s.status();
  return unix_seqpacket(*std::move(s));
}

absl::StatusOr<std::pair<unix_seqpacket, unix_seqpacket>> unix_seqpacket::pair() {
  auto both = paired_states<unix_seqpacket_state>();
  if (!both.ok()) return both.status();
  return std::pair(unix_seqpacket(std::move(both->first)), unix_seqpacket(std::move(both->second)));
}

absl::StatusOr<unix_seqpacket> unix_seqpacket::adopt(int fd) {
  absl::StatusOr<std::unique_ptr<unix_seqpacket_state>> s = adopted_state<unix_seqpacket_state>(fd);
  if (!s.ok()) return s.status();
  return unix_seqpacket(*std::move(s));
}

absl::StatusOr<std::size_t> unix_seqpacket::send(const_bytes packet) {
  if (state_ == nullptr) return not_open("send", unix_seqpacket_state::kind);
  if (packet.empty()) {
    return absl::InvalidArgumentError(describe("send", state_->name(), "an empty packet would look like the end"));
  }
  return send_datagram(
      *state_, [&](int fd) { return calls::send(fd, packet.data(), packet.size()); }, [&] { return state_->name(); });
}

absl::StatusOr<std::size_t> unix_seqpacket::receive(bytes buffer) {
  if (state_ == nullptr) return not_open("receive", unix_seqpacket_state::kind);
  return receive_whole_datagram(*state_, buffer);
}

absl::Status unix_seqpacket::close_write() {
  if (state_ == nullptr) return not_open("close write", unix_seqpacket_state::kind);
  return option_status(*state_, state_->io.with_fd([](int fd) { return calls::shutdown(fd, SHUT_WR); }), "close write");
}

address unix_seqpacket::local_address() const { return state_ == nullptr ? address{} : state_->local; }
address unix_seqpacket::remote_address() const { return state_ == nullptr ? address{} : state_->remote; }

}  // namespace baton::net
