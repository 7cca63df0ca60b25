// Gives netpoll and runtime access to a stream and to a pipe's end. Internal.
#pragma once

#include <string>

namespace baton::detail {
struct pipe_state;
}

namespace baton::net {

class descriptor;
template <class State>
class descriptor_owner;
class tcp_stream;

struct stream_access {
  // Null: not open.
  [[nodiscard]] static descriptor* io(const tcp_stream& s) noexcept;
  [[nodiscard]] static descriptor* io(const descriptor_owner<baton::detail::pipe_state>& p) noexcept;
  // As messages name it. Requires: it is open.
  [[nodiscard]] static std::string name(const tcp_stream& s);
  [[nodiscard]] static std::string name(const descriptor_owner<baton::detail::pipe_state>& p);
};

}  // namespace baton::net
