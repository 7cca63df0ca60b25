// Public API: the entries of directories.
//
//   const auto entries = baton::read_directory("/etc");
//   if (!entries.ok()) return entries.status();
//   for (const auto& e : *entries) use(e.name);
//
//   absl::Status s = baton::walk_directory("src", [&](const baton::walked_entry& e) {
//     if (e.is_directory() && e.name == ".git") return baton::walk_next::skip;
//     use(e.path);
//     return baton::walk_next::go_on;
//   });
//
// Reading a directory may wait for its device. Such calls pass the gate of the device (file.h): at most 64 at once keep
// a thread. Thread-safe. What others add or remove meanwhile may be seen or not.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace baton {

enum class file_type : std::uint8_t {
  unknown,
  regular,
  directory,
  symbolic_link,
  fifo,
  socket,
  character_device,
  block_device
};

struct directory_entry {
  std::string name;  // of the last component
  // Of the entry itself, not of what a symbolic link leads to. unknown: the entry was gone when its type was asked for.
  file_type type = file_type::unknown;
  std::uint64_t inode = 0;

  [[nodiscard]] bool is_directory() const noexcept { return type == file_type::directory; }
  [[nodiscard]] bool is_regular() const noexcept { return type == file_type::regular; }
};

// Switches. Returns the entries without "." and "..", in the order of their names (as bytes). Errors: those of open(2)
// (ENOENT, ENOTDIR, EACCES …) and getdents; ENOMEM.
[[nodiscard]] absl::StatusOr<std::vector<directory_entry>> read_directory(const std::string& path);

// An entry with its path: the walk's path, '/', and the names below it.
struct walked_entry : directory_entry {
  std::string path;
  std::size_t depth = 0;  // 0: an entry of the directory that is walked
};

// What a walk does after an entry.
enum class walk_next : std::uint8_t {
  go_on,
  skip,  // not into this directory; after another entry: not to the entries that follow in the same directory
  stop,  // the walk ends, without an error
};

namespace detail {
struct walk_step {
  walk_next next = walk_next::go_on;
  absl::Status error;
};
absl::Status walk(const std::string& path, const std::function<walk_step(const walked_entry&)>& visit);
}  // namespace detail

// Switches. Calls visit(entry) for all entries below the directory: in the order of their names, a directory before
// what is in it. Symbolic links are not followed. visit() returns walk_next, or nothing, or an absl::Status. The walk
// ends with the first error of visit(), or of a directory that cannot be read; a directory that has been removed since
// it was seen counts as empty. A tree whose paths grow longer than PATH_MAX ends it with ENAMETOOLONG. visit() may wait
// and may throw.
template <class F>
absl::Status walk_directory(const std::string& path, F&& visit) {
  return detail::walk(path, [&visit](const walked_entry& e) -> detail::walk_step {
    using result = std::invoke_result_t<F&, const walked_entry&>;
    if constexpr (std::is_void_v<result>) {
      visit(e);
      return {};
    } else if constexpr (std::is_same_v<result, walk_next>) {
      return {visit(e), absl::OkStatus()};
    } else {
      return {walk_next::go_on, visit(e)};
    }
  });
}

}  // namespace baton
