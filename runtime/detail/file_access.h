// What the rest of runtime knows of a file. Internal; users include file.h.
#pragma once

#include <baton/runtime/detail/file_state.h>
#include <baton/runtime/file.h>

namespace baton::detail {

struct file_access {
  // Null if the file is empty.
  [[nodiscard]] static file_state* state(const file& f) noexcept { return f.state_; }
};

}  // namespace baton::detail
