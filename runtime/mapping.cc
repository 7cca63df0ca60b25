#include <baton/runtime/mapping.h>

#include <baton/runtime/detail/file_access.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/status.h>
#include <baton/syscall/typed_call.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace baton {

using detail::file_state;
using sys::detail::blocking_call;

void mapping::unmap() noexcept {
  if (at_ != nullptr) static_cast<void>(sys::detail::call<SYS_munmap, void>(at_, size_));
  at_ = nullptr;
  size_ = 0;
}

mapping& mapping::operator=(mapping&& other) noexcept {
  if (this != &other) {
    unmap();
    at_ = std::exchange(other.at_, nullptr);
    size_ = std::exchange(other.size_, 0);
    path_ = std::move(other.path_);
  }
  return *this;
}

absl::StatusOr<mapping> mapping::made(int fd, std::size_t length, int prot, int flags, off_t offset,
                                      const std::string& path) {
  // Memory at an address that the caller chooses may be another owner's.
  if ((flags & MAP_FIXED) != 0) return status_from_errno(EINVAL, "map " + path);
  const auto at = blocking_call<SYS_mmap, long>(nullptr, length, prot, flags, fd, offset);
  if (!at) return at.status("map " + path);
  return mapping(reinterpret_cast<void*>(*at), length, path);
}

absl::StatusOr<mapping> mapping::map(const file& f, std::size_t length, int prot, int flags, off_t offset) {
  file_state* const s = detail::file_access::state(f);
  if (s == nullptr) return status_from_errno(EBADF, "map no file");
  const file_state::hold user(*s);
  if (!user) return s->failed(EBADF, "map");
  return made(s->fd(), length, prot, flags & ~MAP_ANONYMOUS, offset, s->path());
}

absl::StatusOr<mapping> mapping::anonymous(std::size_t length, int prot, int flags) {
  return made(-1, length, prot, flags | MAP_ANONYMOUS, 0, "memory");
}

absl::Status mapping::sync(std::size_t from, std::size_t n) {
  if (from > size_ || (n != npos && n > size_ - from)) return status_from_errno(EINVAL, "sync " + path_);
  if (n == npos) n = size_ - from;
  if (n == 0) return absl::OkStatus();
  const std::size_t before = from % static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return blocking_call<SYS_msync, void>(static_cast<char*>(at_) + from - before, n + before, MS_SYNC)
      .status("sync " + path_);
}

absl::Status mapping::advise(int advice) {
  return blocking_call<SYS_madvise, void>(at_, size_, advice).status("advise " + path_);
}

}  // namespace baton
