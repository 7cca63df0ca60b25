// Public API: memory that shows a file, or anonymous memory: mmap with an owner.
//
//   auto m = baton::mapping::map(f, size, PROT_READ, MAP_PRIVATE);
//   if (!m.ok()) return m.status();
//   parse(std::as_const(*m).data());
//
// Touching the memory may have to wait until the kernel has fetched it from the file. That is not a call, so the
// scheduler does not learn of it: it blocks the thread, and the P until the monitor takes that away after 10 ms, with a
// report. To read a whole file, prefer read(), which parks. Or declare the loop that touches the memory with
// baton::blocking(), or have it fetched before (advise(MADV_POPULATE_READ), which is declared). Bytes behind the end of
// the file give SIGBUS.
#pragma once

#include <baton/runtime/file.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sys/mman.h>
#include <sys/types.h>

#include <cstddef>
#include <string>
#include <utility>

namespace baton {

// Move-only; the destructor unmaps, and switches. The memory may be used by several threads, as any memory may; the
// object by one at a time. A mapping stays when its file is closed. sync() and advise() may wait for the file's device.
// They pass its gate (file.h).
class mapping {
 public:
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

  mapping() noexcept = default;
  mapping(mapping&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        gate_(other.gate_),
        path_(std::move(other.path_)) {}
  mapping& operator=(mapping&& other) noexcept;  // switches
  ~mapping() { unmap(); }

  // Switches. Maps `length` bytes of the file from `offset` on, a multiple of the page size. prot: PROT_READ,
  // PROT_WRITE, PROT_EXEC. flags: MAP_SHARED or MAP_PRIVATE, and what else mmap(2) knows, without MAP_FIXED and
  // MAP_FIXED_NOREPLACE. Errors: EINVAL, EACCES, ENODEV, ENOMEM, EOVERFLOW, EBADF ….
  [[nodiscard]] static absl::StatusOr<mapping> map(const file& f, std::size_t length, int prot, int flags,
                                                   off_t offset = 0);
  // Switches. Maps memory without a file, which begins as zeros. flags: MAP_SHARED (a child of a fork then shares it)
  // or MAP_PRIVATE, MAP_HUGETLB, MAP_NORESERVE ….
  [[nodiscard]] static absl::StatusOr<mapping> anonymous(std::size_t length, int prot = PROT_READ | PROT_WRITE,
                                                         int flags = MAP_PRIVATE);

  // The memory. Writing needs PROT_WRITE. Never switches, but see above for what touching it does.
  [[nodiscard]] bytes data() noexcept { return {at_, size_}; }
  [[nodiscard]] const_bytes data() const noexcept { return {at_, size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  // Switches. Waits until the file has what was written to the pages that hold these bytes (msync).
  absl::Status sync(std::size_t from = 0, std::size_t n = npos);
  // Switches. madvise(2) for the whole mapping: MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_POPULATE_READ ….
  absl::Status advise(int advice);

 private:
  mapping(blocking_gate* gate, std::string path) noexcept : gate_(gate), path_(std::move(path)) {}
  absl::Status make(int fd, std::size_t length, int prot, int flags, off_t offset);
  template <class Call>
  auto declared(Call call) noexcept;
  void unmap() noexcept;

  void* at_ = nullptr;
  std::size_t size_ = 0;
  blocking_gate* gate_ = nullptr;  // of the file's device; null: there is none
  std::string path_;
};

}  // namespace baton
