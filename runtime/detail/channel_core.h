// What channel<T> shares, without T: a ring of slots, two queues of waiters, and a lock. The element operations are
// function pointers, so the protocol is compiled once.
//
// A select over several channels builds on it as well. The select locks all its channels and tries attempt_send() or
// attempt_receive() on each. If none succeeds, it puts a channel_node of its one waiter into each with wait_to_send() /
// wait_to_receive(), unlocks, waits, and takes the nodes out again with stop_waiting_to_send() / _receive(). The codes
// of the claimed node say which case it was.
#pragma once

#include <baton/sched/park.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <absl/base/thread_annotations.h>
#include <cstddef>
#include <cstdint>

namespace baton {

enum class channel_status : std::uint8_t {
  ok,
  would_block,  // try_ only: the call would have had to wait
  closed,       // send: the channel is closed. receive: closed and drained
  timeout,      // the time passed first
};

const char* to_string(channel_status s) noexcept;

namespace detail {

// How to handle elements. `value` is a T to be sent, `slot` is storage in the ring, `out` is a receiver's empty
// std::optional<T>. None of these functions throws.
struct element_type {
  std::size_t size;
  std::size_t alignment;
  void (*store)(void* slot, void* value) noexcept;  // value is moved from
  void (*take)(void* out, void* slot) noexcept;     // the slot is bare storage again
  void (*pass)(void* out, void* value) noexcept;    // value is moved from
  void (*destroy)(void* slot) noexcept;
};

struct channel_node;

// An owner of nodes that stay in the queues while it does not wait: a selector.
class node_keeper {
 public:
  // Requires: the channel's lock is held, and the node has been taken out of its queue. Returns true if the keeper's
  // waiter is claimed; n.who is that waiter. Returns false if the keeper does not wait now; it will look at the channel
  // before it does.
  [[nodiscard]] virtual bool claim(channel_node& n, std::uint32_t how) noexcept = 0;

 protected:
  ~node_keeper() = default;
};

// A waiter on one side of one channel. The node lies on the waiting agent's stack until the waiter is claimed and the
// node has been taken out of the queue, or it lies in a case of a selector.
struct channel_node {
  channel_node* next = nullptr;
  channel_node* prev = nullptr;
  bool queued = false;
  sched::waiter* who = nullptr;  // set at the claim if the node has a keeper
  node_keeper* keeper = nullptr;
  void* element = nullptr;  // a sender's value, or a receiver's out
  // The codes that the waiter is claimed with.
  std::uint32_t on_transfer = sched::waiter::signalled;
  std::uint32_t on_close = sched::waiter::closed;

  [[nodiscard]] bool claim(std::uint32_t how) noexcept {
    return __builtin_expect(keeper != nullptr, 0) ? keeper->claim(*this, how) : who->claim(how);
  }
};

// A value that is written under the channel's lock and may be read without it, as a hint. It compiles to plain loads
// and stores.
template <class T>
class peekable {
 public:
  constexpr explicit peekable(T value) noexcept : value_(value) {}
  operator T() const noexcept { return value_.load(sched::platform::mo::relaxed); }
  peekable& operator=(T value) noexcept {
    value_.store(value, sched::platform::mo::relaxed);
    return *this;
  }

 private:
  sched::platform::atomic<T> value_;
};

// FIFO of nodes, guarded by the channel's lock. empty() may be called without it.
class node_queue {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  void push_back(channel_node& n) noexcept {
    channel_node* const last = tail_;
    n.prev = last;
    n.next = nullptr;
    n.queued = true;
    if (last != nullptr) {
      last->next = &n;
    } else {
      head_ = &n;
    }
    tail_ = &n;
  }
  void remove(channel_node& n) noexcept;  // does nothing if n is not queued
  [[nodiscard]] channel_node* pop_front() noexcept {
    channel_node* const n = head_;
    if (n == nullptr) return nullptr;
    channel_node* const second = n->next;
    head_ = second;
    (second != nullptr ? second->prev : tail_) = nullptr;
    n->queued = false;
    return n;
  }
  // Takes nodes off until one could be claimed for a transfer. Returns null if there is none.
  [[nodiscard]] channel_node* claim_front() noexcept {
    channel_node* const n = pop_front();
    if (n == nullptr) return nullptr;
    if (__builtin_expect(n->keeper == nullptr && n->who->claim(n->on_transfer), 1)) return n;
    return claim_that_or_next(*n);
  }
  // The rest of claim_front(), for a node that is off the queue and either has a keeper or lost its wait.
  [[nodiscard]] __attribute__((cold, noinline)) channel_node* claim_that_or_next(channel_node& n) noexcept;
  // Like claim_front(), but the nodes of that keeper stay where they are.
  [[nodiscard]] channel_node* claim_front_but(const node_keeper* mine) noexcept;

 private:
  peekable<channel_node*> head_{nullptr};
  channel_node* tail_ = nullptr;
};

// What an attempt leaves to be done once the lock is free: the transfer with a counterpart that was claimed under the
// lock, and the counterpart's wake-up.
class transfer {
 public:
  void finish() noexcept {
    if (peer_ == nullptr) return;
    sched::agent* const who = peer_->who->who();
    if (pass_ != nullptr) pass_(out_, value_);
    sched::ready(who);  // the node, and perhaps the channel, are gone from here on
  }

 private:
  friend class channel_core;
  channel_node* peer_ = nullptr;
  void (*pass_)(void* out, void* value) noexcept = nullptr;
  void* out_ = nullptr;
  void* value_ = nullptr;
};

class ABSL_LOCKABLE channel_core {
 public:
  // The core begins with one reference. Throws std::bad_alloc.
  static channel_core* make(const element_type& type, std::size_t capacity);
  void retain() noexcept { references_.fetch_add(1, sched::platform::mo::relaxed); }
  void release() noexcept;

  // Switches. Moves from *value only if the result is ok.
  channel_status send(void* value, std::int64_t deadline_ns) noexcept;
  // Switches. *out is empty before the call, and stays empty unless the result is ok.
  channel_status receive(void* out, std::int64_t deadline_ns) noexcept;
  // These never switch.
  channel_status try_send(void* value) noexcept;
  channel_status try_receive(void* out) noexcept;
  bool close() noexcept;  // returns false if it was closed before

  [[nodiscard]] bool is_closed() const noexcept;
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  // The parts that a select needs. These two return true if a send (a receive) would find something to do now. They
  // take no lock, so the answer is a hint and old when it arrives.
  [[nodiscard]] bool seems_ready_to_send() const noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return closed_ || size_ != capacity_ || !receivers_.empty();
  }
  [[nodiscard]] bool seems_ready_to_receive() const noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return size_ != 0 || !senders_.empty() || closed_;
  }
  // The result is ok, closed or would_block. After ok, call finish() of the transfer without the lock.
  void lock() const noexcept ABSL_EXCLUSIVE_LOCK_FUNCTION() { lock_.lock(); }
  void unlock() const noexcept ABSL_UNLOCK_FUNCTION() { lock_.unlock(); }
  channel_status attempt_send(void* value, transfer& t) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(this);
  channel_status attempt_receive(void* out, transfer& t) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(this);
  // The same for a keeper, which never meets itself: its own nodes are passed over. They are told of what the call
  // changes about the channel, as other nodes are.
  channel_status attempt_send_but(const node_keeper* mine, void* value, transfer& t) noexcept
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(this);
  channel_status attempt_receive_but(const node_keeper* mine, void* out, transfer& t) noexcept
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(this);
  void wait_to_send(channel_node& n) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) { senders_.push_back(n); }
  void wait_to_receive(channel_node& n) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) { receivers_.push_back(n); }
  void stop_waiting_to_send(channel_node& n) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) { senders_.remove(n); }
  void stop_waiting_to_receive(channel_node& n) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) { receivers_.remove(n); }

 private:
  channel_core(const element_type& type, std::size_t capacity);
  ~channel_core();
  channel_core(const channel_core&) = delete;
  channel_core& operator=(const channel_core&) = delete;

  [[nodiscard]] void* slot(std::size_t i) const noexcept { return ring_ + i * type_.size; }
  inline void append(void* value) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(this);
  inline void take_oldest(void* out) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(this);
  inline void pass_to(channel_node* receiver, void* value, transfer& t) const noexcept;
  inline void pass_from(channel_node* sender, void* out, transfer& t) const noexcept;

  const element_type& type_;
  std::byte* ring_ = nullptr;
  const std::size_t capacity_;
  mutable sched::platform::spin_lock lock_;
  sched::platform::atomic<std::uint32_t> references_{1};
  peekable<bool> closed_ ABSL_GUARDED_BY(this){false};
  std::size_t head_ ABSL_GUARDED_BY(this) = 0;  // index of the oldest element
  peekable<std::size_t> size_ ABSL_GUARDED_BY(this){0};
  node_queue senders_ ABSL_GUARDED_BY(this);
  node_queue receivers_ ABSL_GUARDED_BY(this);
};

}  // namespace detail
}  // namespace baton
