// write_file_atomically() of file.h.
#include <baton/runtime/file.h>

#include <baton/runtime/detail/file_open.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/files.h>
#include <baton/syscall/status.h>

#include <limits.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <utility>

namespace baton {

namespace {

// Two processes that write at once most likely choose different names; O_EXCL makes sure of it. A name that is nearly
// as long as names can be loses its end.
std::string name_beside(const std::string& path, std::uint64_t attempt) {
  std::uint64_t random = 0;
  static_cast<void>(sys::detail::call<SYS_getrandom, std::size_t>(&random, sizeof random, 1U /* GRND_NONBLOCK */));
  random += attempt + reinterpret_cast<std::uintptr_t>(&random);
  constexpr char digits[] = "0123456789abcdefghijklmnopqrstuv";
  constexpr std::size_t added = std::string_view(".XXXXXXXX.tmp").size();
  const std::size_t slash = path.rfind('/');
  const std::size_t begin = slash == std::string::npos ? 0 : slash + 1;
  std::string name = path.substr(0, std::min(path.size(), begin + NAME_MAX - added)) + ".";
  for (int i = 0; i < 8; ++i, random >>= 5) name += digits[random & 31];
  return name + ".tmp";
}

// The file beside the one that is written, until it has taken its place. Its destructor removes it.
class temporary_name {
 public:
  temporary_name(std::string name, blocking_gate& gate) noexcept : name_(std::move(name)), gate_(gate) {}
  ~temporary_name() {
    if (!kept_) static_cast<void>(blocking(gate_, [this]() noexcept { return sys::unlink(name_); }));
  }
  temporary_name(const temporary_name&) = delete;
  temporary_name& operator=(const temporary_name&) = delete;

  [[nodiscard]] sys::result<void> becomes(const std::string& path) noexcept {
    const auto done = blocking(gate_, [&, this]() noexcept { return sys::rename(name_, path); });
    kept_ = done.has_value();
    return done;
  }
  void keep() noexcept { kept_ = true; }
  [[nodiscard]] const std::string& text() const noexcept { return name_; }

 private:
  const std::string name_;
  blocking_gate& gate_;
  bool kept_ = false;
};

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
  blocking_gate& gate = detail::gate_of_parent(path);
  for (std::uint64_t attempt = 1;; ++attempt) {
    temporary_name name(name_beside(path, attempt), gate);
    absl::StatusOr<file> f = file::open(name.text(), O_WRONLY | O_CREAT | O_EXCL, mode);
    if (errno_of(f.status()) == EEXIST) {
      name.keep();  // it is another writer's
      if (attempt < attempts_max) continue;
    }
    if (!f.ok()) return f.status();
    if (absl::Status s = written(*f, text); !s.ok()) return s;
    if (const auto renamed = name.becomes(path); !renamed) {
      return with_written(renamed.status("rename " + name.text() + " to " + path), text.size());
    }
    return directory_synced(path);
  }
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
