// An intrusive FIFO of fibers, linked through fiber::next. It has no synchronisation of its own.
#pragma once

#include <baton/sched/fiber.h>

namespace baton::sched {

class fiber_list {
 public:
  fiber_list() noexcept = default;
  // A list of fibers that are linked already.
  fiber_list(fiber* first, fiber* last, std::size_t size) noexcept : head_(first), tail_(last), size_(size) {}
  [[nodiscard]] fiber* front() const noexcept { return head_; }
  [[nodiscard]] fiber* back() const noexcept { return tail_; }
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void push_back(fiber* f) noexcept {
    f->next = nullptr;
    (tail_ != nullptr ? tail_->next : head_) = f;
    tail_ = f;
    ++size_;
  }
  void append(fiber_list&& other) noexcept {
    if (other.empty()) return;
    (tail_ != nullptr ? tail_->next : head_) = other.head_;
    tail_ = other.tail_;
    size_ += other.size_;
    other = fiber_list{};
  }
  // Returns null if the list is empty.
  fiber* pop_front() noexcept {
    fiber* const f = head_;
    if (f == nullptr) return nullptr;
    head_ = f->next;
    if (head_ == nullptr) tail_ = nullptr;
    --size_;
    return f;
  }

 private:
  fiber* head_ = nullptr;
  fiber* tail_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace baton::sched
