// A 4-ary heap in an array: half as deep as a binary one, and the four children share a cache line or two. Nodes know
// their position, so the owner removes a cancelled one at once. A foreign P only marks it. As long as more than a
// quarter of the heap is marked, each call that arms a timer looks at the next few entries and drops the marked ones:
// some eight for the one that it adds. (Dropping all at once would hold the lock of a million timers for tens of
// milliseconds, in a section.)
//
// Invariants, under the lock: heap_[i].node->position == i; every node in heap_ is armed or cancelled; earliest_ and
// size_ mirror the heap; capacity_ >= nodes_.
#include <baton/sched/timer_heap.h>

#include <baton/sched/platform/futex.h>

#include <algorithm>
#include <climits>
#include <memory>
#include <utility>

namespace baton::sched {

namespace {
namespace mo = platform::mo;
constexpr std::size_t nodes_per_block = 64;
constexpr int swept_at_once = 32;

std::uint64_t generation_of(std::uint64_t word) noexcept { return word >> 2; }
std::uint64_t make_word(std::uint64_t generation, timer_node::state s) noexcept { return generation << 2 | s; }
}  // namespace

timer_node* timer_heap::arm(std::int64_t when, timer_function fn, void* arg, std::uint64_t seq,
                            std::uint64_t* generation, bool* first) noexcept {
  platform::lock_guard guard(lock_);
  if (free_ == nullptr) return nullptr;
  if (cancelled_.load(mo::relaxed) > used_ / 4 + 16) sweep_some();
  timer_node* const n = std::exchange(free_, free_->next_free);
  n->when = when;
  n->fn = fn;
  n->arg = arg;
  n->seq = seq;
  *generation = generation_of(n->word.load(mo::relaxed));
  // release: pairs with the compare-and-swap of the thread that fires or cancels it.
  n->word.store(make_word(*generation, timer_node::armed), mo::release);
  place(used_, {when, n});
  sift_up(used_++);
  publish();
  *first = n->position == 0;
  return n;
}

void timer_heap::grow() {
  auto block = std::make_unique<timer_node[]>(nodes_per_block);
  std::size_t capacity;
  {
    platform::lock_guard guard(lock_);
    capacity = capacity_ >= nodes_ + nodes_per_block ? 0 : (nodes_ + nodes_per_block) * 2;
  }
  std::unique_ptr<entry[]> larger(capacity > 0 ? new entry[capacity] : nullptr);
  std::unique_ptr<entry[]> former;  // freed after the lock
  platform::lock_guard guard(lock_);
  if (capacity_ < nodes_ + nodes_per_block) {
    if (capacity < nodes_ + nodes_per_block) return;  // others grew the heap meanwhile: the caller tries again
    std::copy(heap_, heap_ + used_, larger.get());
    former.reset(std::exchange(heap_, larger.release()));
    capacity_ = capacity;
  }
  for (std::size_t i = 0; i < nodes_per_block; ++i) {
    block[i].home = this;
    block[i].next_free = std::exchange(free_, &block[i]);
  }
  nodes_ += nodes_per_block;
  static_cast<void>(block.release());  // type-stable: never freed
}

bool timer_heap::cancel(timer_node* n, std::uint64_t generation) noexcept {
  platform::lock_guard guard(lock_);
  std::uint64_t word = make_word(generation, timer_node::armed);
  if (!n->word.compare_exchange_strong(word, make_word(generation, timer_node::cancelled), mo::acq_rel, mo::relaxed)) {
    return false;
  }
  remove_at(n->position);  // armed nodes are in the heap, and this thread holds its lock
  recycle(n);
  publish();
  return true;
}

timer_node* timer_heap::pop_due(std::int64_t now, int& left) noexcept {
  platform::lock_guard guard(lock_);
  for (; left > 0 && used_ > 0 && heap_[0].when <= now; --left) {
    timer_node* const n = heap_[0].node;
    remove_at(0);
    const std::uint64_t generation = generation_of(n->word.load(mo::relaxed));
    std::uint64_t word = make_word(generation, timer_node::armed);
    // acquire: pairs with arm(); exactly one of firing and cancelling wins.
    if (n->word.compare_exchange_strong(word, make_word(generation, timer_node::firing), mo::acq_rel, mo::relaxed)) {
      ++firing_;
      --left;
      publish();
      return n;
    }
    cancelled_.fetch_sub(1, mo::relaxed);
    recycle(n);
  }
  publish();
  return nullptr;
}

void timer_heap::fired(timer_node* n) noexcept {
  bool wake = false;
  {
    platform::lock_guard guard(lock_);
    --firing_;
    recycle(n);
    wake = std::exchange(somebody_sleeps_, false);
    // release: pairs with the acquire of the sleeper's futex, which looks at the node then.
    if (wake) wakes_.fetch_add(1, mo::release);
  }
  if (wake) platform::futex_wake(&wakes_, INT_MAX);
}

void timer_heap::await_fired(const timer_node* n, std::uint64_t generation) noexcept {
  std::uint32_t seen = 0;
  {
    platform::lock_guard guard(lock_);
    // relaxed: nodes are recycled under this lock.
    if (n->word.load(mo::relaxed) != make_word(generation, timer_node::firing)) return;
    somebody_sleeps_ = true;
    seen = wakes_.load(mo::relaxed);
  }
  static_cast<void>(platform::futex_wait(wakes_, seen, platform::forever_ns));
}

std::size_t timer_heap::to_come() noexcept {
  platform::lock_guard guard(lock_);
  // A node that was cancelled but is not yet counted as such is taken for armed. A sweep may count it before that, so
  // the number is below zero for a moment.
  return firing_ + used_ - static_cast<std::size_t>(static_cast<std::int32_t>(cancelled_.load(mo::relaxed)));
}

void timer_heap::recycle(timer_node* n) noexcept {
  const std::uint64_t word = n->word.load(mo::relaxed);
  // release: pairs with the acquire in cancel_timer(), which may wait for the end of the callback.
  n->word.store(make_word(generation_of(word) + 1, timer_node::free), mo::release);
  n->next_free = std::exchange(free_, n);
}

void timer_heap::sweep_some() noexcept {
  for (int i = 0; i < swept_at_once && used_ > 0; ++i) {
    if (swept_ >= used_) swept_ = 0;
    timer_node* const n = heap_[swept_].node;
    if ((n->word.load(mo::acquire) & 3U) == timer_node::cancelled) {
      cancelled_.fetch_sub(1, mo::relaxed);
      remove_at(swept_);  // another entry moves to its place, and is looked at next
      recycle(n);
    } else {
      ++swept_;
    }
  }
}

void timer_heap::place(std::size_t i, entry e) noexcept {
  heap_[i] = e;
  e.node->position = static_cast<std::uint32_t>(i);
}

void timer_heap::sift_up(std::size_t i) noexcept {
  const entry e = heap_[i];
  while (i > 0) {
    const std::size_t parent = (i - 1) / 4;
    if (heap_[parent].when <= e.when) break;
    place(i, heap_[parent]);
    i = parent;
  }
  place(i, e);
}

void timer_heap::sift_down(std::size_t i) noexcept {
  const entry e = heap_[i];
  const std::size_t n = used_;
  for (;;) {
    const std::size_t first = 4 * i + 1;
    if (first >= n) break;
    std::size_t best = first;
    for (std::size_t c = first + 1; c < n && c < first + 4; ++c) {
      if (heap_[c].when < heap_[best].when) best = c;
    }
    if (heap_[best].when >= e.when) break;
    place(i, heap_[best]);
    i = best;
  }
  place(i, e);
}

void timer_heap::remove_at(std::size_t i) noexcept {
  const entry last = heap_[--used_];
  if (i == used_) return;
  place(i, last);
  sift_down(i);
  sift_up(last.node->position);
}

void timer_heap::publish() noexcept {
  const std::int64_t when = used_ == 0 ? platform::forever_ns : heap_[0].when;
  // release: pairs with earliest(); the idle protocol adds the fences it needs.
  if (earliest_.load(mo::relaxed) != when) earliest_.store(when, mo::release);
  size_.store(used_, mo::relaxed);
}

}  // namespace baton::sched
