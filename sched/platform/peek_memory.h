// Reading memory that may be no memory at all: an address found on a stack that changes meanwhile, or
// in a library that is being unloaded. The kernel does the reading, and says if there was nothing.
// 1 to 2 us a read, so callers read windows. Invisible to the sanitizers, which is meant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace baton::sched::platform {

// Copies n bytes; false if not all of them can be read, or if a sandbox forbids process_vm_readv.
[[nodiscard]] bool peek_memory(std::uintptr_t from, void* to, std::size_t n) noexcept;

// Keeps the last few hundred bytes that were looked at. `bytes`: a power of two, at most a page; windows
// are aligned, so none reaches into a page that nobody asked for.
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
