// write_file_atomically() of file.h.
#include <baton/runtime/file.h>

#include <baton/runtime/detail/file_open.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/files.h>
#include <baton/syscall/status.h>

#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>
#include <new>

namespace baton {

namespace {

// The names of two processes that write at once differ, most likely; O_EXCL is what makes sure.
std::string name_beside(const std::string& path, std::uint64_t attempt) {
  std::uint64_t random = 0;
  static_cast<void>(sys::detail::call<SYS_getrandom, std::size_t>(&random, sizeof random, 1U /* GRND_NONBLOCK */));
  random += attempt + reinterpret_cast<std::uintptr_t>(&random);
  constexpr char digits[] = "0123456789abcdefghijklmnopqrstuv";
  std::string name = path + ".";
  for (int i = 0; i < 8; ++i, random >>= 5) name += digits[random & 31];
  return name + ".tmp";
}

absl::Status written(file& f, std::string_view text) {
  if (!text.empty()) {
    if (const auto n = f.write(text); !n.ok()) return n.status();
  }
  if (absl::Status s = f.sync(); !s.ok()) return with_written(s, text.size());
  return with_written(f.close(), text.size());
}

// So that the new name is on the device, too. Some file systems cannot do that (EINVAL).
absl::Status directory_synced(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  auto d = file::open(directory, O_RDONLY | O_DIRECTORY);
  if (!d.ok()) return errno_of(d.status()) == EACCES ? absl::OkStatus() : d.status();
  absl::Status s = d->sync();
  return errno_of(s) == EINVAL ? absl::OkStatus() : s;
}

absl::Status replaced(const std::string& path, std::string_view text, mode_t mode) {
  constexpr std::uint64_t attempts_max = 100;
  absl::StatusOr<file> f = status_from_errno(EEXIST, "open " + path);
  std::string beside;
  for (std::uint64_t i = 0; i < attempts_max && errno_of(f.status()) == EEXIST; ++i) {
    beside = name_beside(path, i);
    f = file::open(beside, O_WRONLY | O_CREAT | O_EXCL, mode);
  }
  if (!f.ok()) return f.status();
  blocking_gate& gate = detail::gate_of_path(path);
  absl::Status s = written(*f, text);
  if (s.ok()) {
    const auto renamed = blocking(gate, [&]() noexcept { return sys::rename(beside, path); });
    if (renamed) return directory_synced(path);
    s = with_written(renamed.status("rename " + beside + " to " + path), text.size());
  }
  static_cast<void>(blocking(gate, [&]() noexcept { return sys::unlink(beside); }));
  return s;
}

}  // namespace

absl::Status write_file_atomically(const std::string& path, std::string_view text, mode_t mode) try {
  // A name with a NUL inside would be another one beside it.
  if (path.find('\0') != std::string::npos) return status_from_errno(EINVAL, "open " + path);
  return replaced(path, text, mode);
} catch (const std::bad_alloc&) {
  return status_from_errno(ENOMEM, "write " + path);
}

}  // namespace baton
