// The parts of io.h that do not depend on the reader and the writer. file_copy.cc has the copies within the kernel.
#include <baton/runtime/io.h>

#include <string>

namespace baton::detail {

absl::Status no_memory(std::string_view what) { return status_from_errno(ENOMEM, what); }

absl::Status too_long(std::string_view what, std::size_t limit) {
  const std::string text = std::string(what) + ": more than " + std::to_string(limit) + " bytes";
  if (what == "read all") return status_from_errno(EFBIG, text);
  return absl::ResourceExhaustedError(text);
}

absl::Status ends_early(std::size_t read, std::size_t wanted) {
  return absl::OutOfRangeError("read exact: the end after " + std::to_string(read) + " of " + std::to_string(wanted) +
                               " bytes");
}

bytes read_buffer::room(std::size_t wanted) noexcept {
  const std::size_t kept = to_ - from_;
  if (memory_ == nullptr || size_ < wanted) {
    std::size_t size = size_;
    if (memory_ != nullptr) {
      // Twice as large at least, so that a long line is not copied for each piece of it.
      size = std::max(wanted, size > unlimited / 2 ? wanted : 2 * size);
    } else {
      size = std::max(size, wanted);
    }
    std::unique_ptr<char[]> larger(new (std::nothrow) char[size]);
    if (larger == nullptr) return {};
    if (kept > 0) std::memcpy(larger.get(), memory_.get() + from_, kept);
    memory_ = std::move(larger);
    size_ = size;
    from_ = 0;
    to_ = kept;
  } else if (from_ == to_) {
    from_ = to_ = 0;
  } else if (size_ - from_ < wanted) {
    std::memmove(memory_.get(), memory_.get() + from_, kept);
    from_ = 0;
    to_ = kept;
  }
  return {memory_.get() + to_, size_ - to_};
}

}  // namespace baton::detail
