// The queues of an io_uring, which are shared with the kernel. Internal to netpoll; ring.cc has the protocol.
#pragma once

#include <baton/syscall/owned_fd.h>

#include <linux/io_uring.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace baton::net::ring {

// For one thread, from open() to the destructor. Never switches.
class queues {
 public:
  queues() noexcept = default;
  ~queues();
  queues(const queues&) = delete;
  queues& operator=(const queues&) = delete;

  // Returns 0 or an errno.
  [[nodiscard]] int open() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // Null: no room before the next submit_and_wait().
  [[nodiscard]] io_uring_sqe* next_entry() noexcept;
  // Returns 0 or an errno. Unless `completions` is 0, waits for that many; but after 30 microseconds one is enough, and
  // it waits no longer than ten seconds (ETIME). Kernels before Linux 6.12 wait for one.
  int submit_and_wait(unsigned completions) noexcept;
  // After submit_and_wait() has failed: calls back(user_data) for each entry that the kernel has not taken, and never
  // will.
  template <class Back>
  void take_back(Back&& back) noexcept;
  // Calls done(user_data, result) for each completion.
  template <class Done>
  void reap(Done&& done) noexcept;

 private:
  struct mapped {
    void* at = nullptr;
    std::size_t size = 0;
    bool map(int fd, std::size_t bytes, off_t what) noexcept {
      void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
      if (memory == MAP_FAILED) return false;
      at = memory;
      size = bytes;
      static_cast<void>(::madvise(at, size, MADV_DONTFORK));
      return true;
    }
    void unmap() noexcept {
      if (at != nullptr) ::munmap(at, size);
    }
    template <class T>
    T* part(std::uint32_t offset) const noexcept {
      return reinterpret_cast<T*>(static_cast<char*>(at) + offset);
    }
  };

  sys::owned_fd fd_;
  io_uring_params p_{};
  mapped submissions_, completions_, sqes_;
  unsigned tail_ = 0;       // of the submission queue, with what the kernel has not been told of
  unsigned submitted_ = 0;  // the tail that the kernel has been told of
};

template <class Back>
void queues::take_back(Back&& back) noexcept {
  for (const auto* const entries = sqes_.part<io_uring_sqe>(0); tail_ != submitted_;) {
    back(entries[--tail_ & (p_.sq_entries - 1)].user_data);
  }
}

template <class Done>
void queues::reap(Done&& done) noexcept {
  auto* const head_at = completions_.part<unsigned>(p_.cq_off.head);
  unsigned head = *head_at;
  // acquire: pairs with the kernel's release, so the entries before the tail are there.
  const unsigned tail = __atomic_load_n(completions_.part<unsigned>(p_.cq_off.tail), __ATOMIC_ACQUIRE);
  const auto* const cqes = completions_.part<io_uring_cqe>(p_.cq_off.cqes);
  while (head != tail) {
    const io_uring_cqe& c = cqes[head & (p_.cq_entries - 1)];
    done(c.user_data, c.res);
    ++head;
  }
  // release: the kernel may overwrite the entries now.
  __atomic_store_n(head_at, head, __ATOMIC_RELEASE);
}

}  // namespace baton::net::ring
