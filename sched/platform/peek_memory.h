// Reads memory that may not be mapped: at an address found on a stack that changes meanwhile, or in a library that is
// being unloaded. The kernel does the reading and reports what is not mapped. A read takes 1 to 2 us, or some 5 us
// where it goes through a pipe (peek_memory.cc), so callers read windows. The sanitizers do not see these reads, on
// purpose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace baton::sched::platform {

// Copies n bytes. Returns false if not all of them can be read, or if the kernel gives neither process_vm_readv nor a
// pipe. Memory with a guard region cannot be read. Does not block. Safe in a signal handler. Keeps errno.
[[nodiscard]] bool peek_memory(std::uintptr_t from, void* to, std::size_t n) noexcept;

// Keeps the window that was read last. `bytes` is a power of two and at most a page. Windows are aligned, so none
// extends into a page that the caller did not ask for.
template <std::size_t bytes>
class peek_window {
  static_assert((bytes & (bytes - 1)) == 0 && bytes >= 64 && bytes <= 4096);

 public:
  template <class T>
  [[nodiscard]] bool read(std::uintptr_t at, T& value) noexcept {
    if (at % bytes + sizeof(T) > bytes) return peek_memory(at, &value, sizeof value);  // across two windows
    const std::uintptr_t base = at - at % bytes;
    if (!filled_ || base != base_) {
      filled_ = peek_memory(base, data_, bytes);
      base_ = base;
      if (!filled_) return false;
    }
    std::memcpy(&value, data_ + at % bytes, sizeof value);
    return true;
  }

 private:
  std::uintptr_t base_ = 0;
  bool filled_ = false;
  std::byte data_[bytes];
};

}  // namespace baton::sched::platform
