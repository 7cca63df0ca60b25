// Reads and writes are in byte_stream_members.h, descriptors and credentials in unix_socket_members.h.
#include <baton/netpoll/unix_stream.h>

#include <baton/netpoll/byte_stream_members.h>
#include <baton/netpoll/unix_connection.h>
#include <baton/netpoll/unix_socket_members.h>

namespace baton::net {

template class descriptor_owner<unix_stream_state>;
template class two_sided_owner<unix_stream_state>;
template class byte_stream<unix_stream_state>;
template class unix_socket<byte_stream<unix_stream_state>>;

unix_stream::unix_stream(std::unique_ptr<unix_stream_state> state) noexcept : unix_socket(std::move(state)) {}

absl::StatusOr<unix_stream> unix_stream::dial(const std::string& path, dial_options options) {
  absl::StatusOr<std::unique_ptr<unix_stream_state>> s = dialled_state<unix_stream_state>(path, options);
  if (!s.ok()) return s.status();
  return unix_stream(*std::move(s));
}

absl::StatusOr<std::pair<unix_stream, unix_stream>> unix_stream::pair() {
  auto both = paired_states<unix_stream_state>();
  if (!both.ok()) return both.status();
  return std::pair(unix_stream(std::move(both->first)), unix_stream(std::move(both->second)));
}

absl::StatusOr<unix_stream> unix_stream::adopt(int fd) {
  absl::StatusOr<std::unique_ptr<unix_stream_state>> s = adopted_state<unix_stream_state>(fd);
  if (!s.ok()) return s.status();
  return unix_stream(*std::move(s));
}

}  // namespace baton::net
