// Opening a file by its name. Internal to runtime; file.h is for users.
#pragma once

#include <baton/syscall/result.h>

#include <sys/types.h>

#include <string>

namespace baton::detail {

// (S) As open(2). Of the calls that have to fetch the way to the file from a device few keep a thread at once.
[[nodiscard]] sys::result<int> open_file(const std::string& path, int flags, mode_t mode) noexcept;

}  // namespace baton::detail
