// Boost.Context with nothing around it, as the primitive that switches and starts of fibers are
// measured against: bare stacks, contexts that jump in a ring, contexts that are made, entered and left.
// The stacks are coloured as baton's are: with all tops at the same offset of their page a thousand
// contexts compete for the same few cache sets, and the primitive would look dearer than it is.
#pragma once

#include "pairs.h"

#include <boost/context/detail/fcontext.hpp>

#include <sys/mman.h>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace bench {

namespace fc = boost::context::detail;

// `count` stacks of 64 KiB each, committed when touched.
class bare_stacks {
 public:
  static constexpr std::size_t size = std::size_t{64} * 1024;
  static constexpr std::size_t colours = 32;

  explicit bare_stacks(std::size_t count) : bytes_(count * size) {
    void* const p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
      std::perror("mmap");
      std::exit(1);
    }
    base_ = static_cast<std::byte*>(p);
    madvise(base_, bytes_, MADV_NOHUGEPAGE);
  }
  bare_stacks(const bare_stacks&) = delete;
  bare_stacks& operator=(const bare_stacks&) = delete;
  ~bare_stacks() { munmap(base_, bytes_); }

  [[nodiscard]] void* top(std::size_t i) const { return base_ + (i + 1) * size - (i % colours) * 64; }
  [[nodiscard]] static std::size_t usable(std::size_t i) { return size - (i % colours) * 64; }

 private:
  std::size_t bytes_;
  std::byte* base_ = nullptr;
};

// `count` contexts, the caller's included, of which each jumps to the next one for ever.
class bare_ring {
 public:
  explicit bare_ring(std::size_t count) : stacks_(count - 1), nodes_(count) {
    for (std::size_t i = 0; i < count; ++i) {
      nodes_[i].next = &nodes_[(i + 1) % count];
      if (i > 0) nodes_[i].context = fc::make_fcontext(stacks_.top(i - 1), bare_stacks::usable(i - 1), entry);
    }
    round();
  }

  // Once around: as many jumps as there are contexts.
  void round() { nodes_[0].jump(); }

 private:
  struct node {
    fc::fcontext_t context = nullptr;
    node* next = nullptr;

    void jump() {
      const fc::transfer_t t = fc::jump_fcontext(next->context, this);
      static_cast<node*>(t.data)->context = t.fctx;
    }
  };

  [[noreturn]] static void entry(fc::transfer_t t) {
    auto* const from = static_cast<node*>(t.data);
    from->context = t.fctx;
    node* const self = from->next;
    for (;;) self->jump();
  }

  bare_stacks stacks_;
  std::vector<node> nodes_;
};

// Makes a context on a warm stack, jumps there and back; `count` of them before the first is entered
// again. What a spawn and its end cost that do nothing else.
class bare_starts {
 public:
  explicit bare_starts(std::size_t count) : stacks_(count), contexts_(count) { round(); }

  void round() {
    for (std::size_t i = 0; i < contexts_.size(); ++i) {
      contexts_[i] = fc::make_fcontext(stacks_.top(i), bare_stacks::usable(i), entry);
    }
    for (fc::fcontext_t context : contexts_) fc::jump_fcontext(context, nullptr);
  }

 private:
  static void entry(fc::transfer_t t) {
    fc::jump_fcontext(t.fctx, nullptr);
    std::abort();
  }

  bare_stacks stacks_;
  std::vector<fc::fcontext_t> contexts_;
};

}  // namespace bench
