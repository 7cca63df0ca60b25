// A walk keeps the entries that are still to come on a stack of its own, not on the fiber's: a tree may be deep. Each
// directory is read as a whole before its first entry is visited, so visit() may remove what it is shown.
#include <baton/runtime/directory.h>

#include <baton/runtime/detail/file_gate.h>
#include <baton/runtime/detail/file_open.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/files.h>
#include <baton/syscall/kernel_structs.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/status.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>

namespace baton {

namespace {

using sys::detail::dirent_head;

constexpr std::size_t buffer_size = std::size_t{32} * 1024;

file_type type_of(unsigned mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG: return file_type::regular;
    case S_IFDIR: return file_type::directory;
    case S_IFLNK: return file_type::symbolic_link;
    case S_IFIFO: return file_type::fifo;
    case S_IFSOCK: return file_type::socket;
    case S_IFCHR: return file_type::character_device;
    case S_IFBLK: return file_type::block_device;
    default: return file_type::unknown;
  }
}

absl::StatusOr<std::vector<directory_entry>> entries_of(const std::string& path, int flags) {
  const auto opened = detail::open_file(path, flags | O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (!opened) return opened.status("open " + path);
  const sys::owned_fd fd(opened->fd);
  blocking_gate& gate = detail::file_gate_of(opened->kind.device);
  std::vector<directory_entry> all;
  const std::unique_ptr<char[]> buffer(new char[buffer_size]);
  for (;;) {
    const auto n = blocking(gate, [&]() noexcept { return sys::getdents(fd.get(), bytes(buffer.get(), buffer_size)); });
    if (n.error() == ENOENT || (n && *n == 0)) break;  // ENOENT: the directory has been removed
    if (!n) return n.status("read " + path);
    for (std::size_t at = 0; at < *n;) {
      dirent_head head{};
      std::memcpy(&head, buffer.get() + at, dirent_head::name_at);
      const char* const name = buffer.get() + at + dirent_head::name_at;
      at += head.size;
      if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) continue;
      directory_entry e{name, type_of(static_cast<unsigned>(DTTOIF(head.type))), head.inode};
      if (head.type == DT_UNKNOWN) {
        struct ::stat about {};
        const sys::c_string of(e.name);
        const auto known = blocking(gate, [&]() noexcept {
          return sys::detail::call<SYS_newfstatat, void>(fd.get(), of.get(), &about, AT_SYMLINK_NOFOLLOW);
        });
        if (known) e.type = type_of(about.st_mode);
      }
      all.push_back(std::move(e));
    }
  }
  std::sort(all.begin(), all.end(), [](const directory_entry& a, const directory_entry& b) { return a.name < b.name; });
  return all;
}

absl::StatusOr<std::vector<directory_entry>> read(const std::string& path, int flags) try {
  return entries_of(path, flags);
} catch (const std::bad_alloc&) {
  return status_from_errno(ENOMEM, "read " + path);
}

// Entries of one directory that are still to come, the next one last.
struct level {
  std::string path;
  std::vector<directory_entry> left;
};

std::string below(const std::string& path, const std::string& name) {
  return path.ends_with('/') ? path + name : path + "/" + name;
}

}  // namespace

absl::StatusOr<std::vector<directory_entry>> read_directory(const std::string& path) { return read(path, 0); }

namespace detail {

absl::Status walk(const std::string& path, const std::function<walk_step(const walked_entry&)>& visit) {
  std::vector<level> stack;
  const auto enter = [&](std::string directory, int flags) -> absl::Status {
    auto entries = read(directory, flags);
    if (!entries.ok()) return entries.status();
    std::reverse(entries->begin(), entries->end());
    stack.push_back({std::move(directory), std::move(*entries)});
    return absl::OkStatus();
  };
  if (absl::Status s = enter(path, 0); !s.ok()) return s;
  while (!stack.empty()) {
    level& here = stack.back();
    if (here.left.empty()) {
      stack.pop_back();
      continue;
    }
    walked_entry e;
    static_cast<directory_entry&>(e) = std::move(here.left.back());
    here.left.pop_back();
    e.path = below(here.path, e.name);
    e.depth = stack.size() - 1;
    walk_step step = visit(e);
    if (!step.error.ok()) return step.error;
    if (step.next == walk_next::stop) return absl::OkStatus();
    if (step.next == walk_next::skip) {
      if (!e.is_directory()) here.left.clear();
      continue;
    }
    if (!e.is_directory()) continue;
    // O_NOFOLLOW: a link that has taken its place meanwhile is none of the tree.
    absl::Status s = enter(std::move(e.path), O_NOFOLLOW);
    const int error = errno_of(s);
    if (!s.ok() && error != ENOENT && error != ENOTDIR && error != ELOOP) return s;
  }
  return absl::OkStatus();
}

}  // namespace detail
}  // namespace baton
