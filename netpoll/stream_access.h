// What the rest of netpoll, and runtime, know of a stream and of a pipe's end. Internal.
#pragma once

#include <string>

namespace baton::detail {
class pipe_end;
}

namespace baton::net {

class descriptor;
class tcp_stream;

struct stream_access {
  // Null: not open.
  [[nodiscard]] static descriptor* io(const tcp_stream& s) noexcept;
  [[nodiscard]] static descriptor* io(const baton::detail::pipe_end& p) noexcept;
  // As messages name it. Requires: it is open.
  [[nodiscard]] static std::string name(const tcp_stream& s);
  [[nodiscard]] static std::string name(const baton::detail::pipe_end& p);
};

}  // namespace baton::net
