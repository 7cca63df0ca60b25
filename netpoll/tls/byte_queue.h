// Bytes on their way between OpenSSL and the socket. Memory is taken when bytes come and can be given back when none
// are left, so an idle connection keeps none. Internal to netpoll/tls; one agent at a time.
#pragma once

#include <baton/syscall/bytes.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

namespace baton::net {

class byte_queue {
 public:
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] const_bytes content() const noexcept { return {memory_.get() + begin_, size()}; }

  // Returns room for `size` bytes or more behind the content; empty: there is no memory. filled() says how many came.
  [[nodiscard]] bytes room(std::size_t size) noexcept {
    if (capacity_ - end_ < size && !make_room(size)) return {};
    return {memory_.get() + end_, capacity_ - end_};
  }
  void filled(std::size_t n) noexcept { end_ += n; }

  // Returns false if there is no memory. Nothing is appended then.
  [[nodiscard]] bool append(const void* data, std::size_t size) noexcept {
    const bytes to = room(size);
    if (to.size() < size) return false;
    if (size > 0) std::memcpy(to.data(), data, size);
    filled(size);
    return true;
  }

  // Takes the first n bytes out.
  void consume(std::size_t n) noexcept {
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
  }

  // Gives the memory back if there is no content.
  void release_if_empty() noexcept {
    if (!empty()) return;
    memory_.reset();
    begin_ = end_ = capacity_ = 0;
  }

  void swap(byte_queue& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  struct freer {
    void operator()(std::byte* p) const noexcept { std::free(p); }
  };

  bool make_room(std::size_t size) noexcept {
    if (begin_ > 0) {
      std::memmove(memory_.get(), memory_.get() + begin_, this->size());
      end_ -= begin_;
      begin_ = 0;
      if (capacity_ - end_ >= size) return true;
    }
    const std::size_t wanted = std::max(end_ + size, 2 * capacity_);
    auto* const larger = static_cast<std::byte*>(std::realloc(memory_.get(), wanted));
    if (larger == nullptr) return false;
    (void)memory_.release();
    memory_.reset(larger);
    capacity_ = wanted;
    return true;
  }

  std::unique_ptr<std::byte[], freer> memory_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace baton::net
