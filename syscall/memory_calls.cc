#include <baton/syscall/memory.h>
#include <baton/syscall/typed_call.h>

#include <unistd.h>

namespace baton::sys {

using detail::blocking_call;
using detail::call;

namespace {

result<void*> address_of(result<unsigned long> answer) noexcept {
  if (!answer) return failure(answer.error());
  return reinterpret_cast<void*>(*answer);
}

}  // namespace

result<void*> mmap(void* at, std::size_t length, int protection, int flags, int fd, ::off_t offset) noexcept {
  return address_of(blocking_call<SYS_mmap, unsigned long>(at, length, protection, flags, fd, offset));
}
result<void> munmap(void* at, std::size_t length) noexcept { return blocking_call<SYS_munmap, void>(at, length); }
result<void*> mremap(void* at, std::size_t old_length, std::size_t new_length, int flags, void* new_at) noexcept {
  return address_of(blocking_call<SYS_mremap, unsigned long>(at, old_length, new_length, flags, new_at));
}

result<void> mprotect(void* at, std::size_t length, int protection) noexcept {
  return blocking_call<SYS_mprotect, void>(at, length, protection);
}
result<void> msync(void* at, std::size_t length, int flags) noexcept {
  return blocking_call<SYS_msync, void>(at, length, flags);
}
result<void> madvise(void* at, std::size_t length, int advice) noexcept {
  return blocking_call<SYS_madvise, void>(at, length, advice);
}

result<void> mlock(const void* at, std::size_t length) noexcept { return blocking_call<SYS_mlock, void>(at, length); }
result<void> mlock2(const void* at, std::size_t length, unsigned flags) noexcept {
  return blocking_call<SYS_mlock2, void>(at, length, flags);
}
result<void> munlock(const void* at, std::size_t length) noexcept {
  return blocking_call<SYS_munlock, void>(at, length);
}
result<void> mlockall(int flags) noexcept { return blocking_call<SYS_mlockall, void>(flags); }
result<void> munlockall() noexcept { return blocking_call<SYS_munlockall, void>(); }

// The kernel writes a byte for each page, without being told how many there is room for.
result<void> mincore(void* at, std::size_t length, std::span<unsigned char> into) noexcept {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t pages = length / page + (length % page != 0 ? 1 : 0);
  if (into.size() < pages) return failure(EINVAL);
  return blocking_call<SYS_mincore, void>(at, length, into.data());
}

result<int> memfd_create(const c_string& name, unsigned flags) noexcept {
  if (name.error() != 0) return failure(name.error());
  return call<SYS_memfd_create, int>(name.get(), flags);
}

}  // namespace baton::sys
