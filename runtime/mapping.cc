#include <baton/runtime/mapping.h>

#include <baton/runtime/detail/file_access.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/memory.h>
#include <baton/syscall/status.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace baton {

using detail::file_state;

// A call that may wait for the device.
template <class Call>
auto mapping::declared(Call call) noexcept {
  return gate_ == nullptr ? blocking(call) : blocking(*gate_, call);
}

void mapping::unmap() noexcept {
  if (at_ != nullptr) static_cast<void>(sys::munmap(at_, size_));
  at_ = nullptr;
  size_ = 0;
}

mapping& mapping::operator=(mapping&& other) noexcept {
  if (this != &other) {
    unmap();
    at_ = std::exchange(other.at_, nullptr);
    size_ = std::exchange(other.size_, 0);
    gate_ = other.gate_;
    path_ = std::move(other.path_);
  }
  return *this;
}

// Allocates nothing after the memory is mapped.
absl::Status mapping::make(int fd, std::size_t length, int prot, int flags, off_t offset) {
  // Memory at an address that the caller chooses may be another owner's.
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0) return status_from_errno(EINVAL, "map " + path_);
  // MAP_POPULATE and MAP_LOCKED fetch the content.
  const auto at = declared(
      [=]() noexcept { return sys::detail::call<SYS_mmap, unsigned long>(nullptr, length, prot, flags, fd, offset); });
  if (!at) return at.status("map " + path_);
  at_ = reinterpret_cast<void*>(*at);
  size_ = length;
  return absl::OkStatus();
}

absl::StatusOr<mapping> mapping::map(const file& f, std::size_t length, int prot, int flags, off_t offset) {
  file_state* const s = detail::file_access::state(f);
  if (s == nullptr) return status_from_errno(EBADF, "map no file");
  const file_state::hold user(*s);
  if (!user) return s->failed(EBADF, "map");
  mapping m(s->gate(), s->path());
  if (absl::Status made = m.make(s->fd(), length, prot, flags & ~MAP_ANONYMOUS, offset); !made.ok()) return made;
  return m;
}

absl::StatusOr<mapping> mapping::anonymous(std::size_t length, int prot, int flags) {
  mapping m(nullptr, "memory");
  if (absl::Status made = m.make(-1, length, prot, flags | MAP_ANONYMOUS, 0); !made.ok()) return made;
  return m;
}

absl::Status mapping::sync(std::size_t from, std::size_t n) {
  if (from > size_ || (n != npos && n > size_ - from)) return status_from_errno(EINVAL, "sync " + path_);
  if (n == npos) n = size_ - from;
  if (n == 0) return absl::OkStatus();
  const std::size_t before = from % static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  char* const at = static_cast<char*>(at_) + from - before;
  return declared([=]() noexcept { return sys::detail::call<SYS_msync, void>(at, n + before, int{MS_SYNC}); })
      .status("sync " + path_);
}

absl::Status mapping::advise(int advice) {
  return declared([=, this]() noexcept { return sys::detail::call<SYS_madvise, void>(at_, size_, advice); })
      .status("advise " + path_);
}

}  // namespace baton
