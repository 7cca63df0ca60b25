// One lock guards the ring and both queues.
//
//   send      If the channel is closed, fail. If a receiver waits, the ring is empty: claim the receiver, unlock, move
//             the value straight to it, ready it. If the ring has room, store the value. Otherwise queue a node and
//             park.
//   receive   If the ring holds something, take the oldest element. If a sender waits as well, the ring was full: claim
//             the sender and store its value in the slot that became free, so the order stays. If the ring is empty and
//             a sender waits, there is no ring: claim the sender, unlock, move its value straight here, ready it. If
//             the channel is closed, fail. Otherwise queue a node and park.
//   close     Take all nodes off both queues and claim them; unlock; ready the waiters. What is in the ring stays there
//             to be received.
//   time-out  The waiter has claimed itself. Take its node out under the lock.
//
// A counterpart claims a waiter before it touches the waiter's element. So an element is moved only by the transfer
// that ends the wait of the agent it belongs to. A wait that ended otherwise (deadline, close, another case of a
// select) leaves the
// element alone. A claimed waiter stays where it is until it is readied, so the direct move needs no lock. Moves into
// and out of the ring happen under the lock, which is why T must not throw when moved. Copies are made, and old values
// of an optional are destroyed, before the lock is taken.
//
// A selector leaves its nodes in the queues while it does not wait, because it must be told of changes. A thread that
// has something for
// such a node takes the node out and fails to claim it, which tells the selector. The thread then goes on to the next
// node, or to the ring. So if a node is in a queue, there was nothing to do for it since it was put there. This also
// holds if it is the queue's only node: "receivers wait" is a hint and no promise.
//
// Lifetime: the caller holds a reference for the length of the call. But that reference may belong to a handle on the
// counterpart's stack, and the counterpart may end as soon as its own send or receive returns. So nothing of the
// channel is touched after the step that
// lets the counterpart go on (the unlock for values in the ring, ready() otherwise).
#include <baton/runtime/detail/channel_core.h>

#include <initializer_list>
#include <new>

namespace baton {

const char* to_string(channel_status s) noexcept {
  switch (s) {
    case channel_status::ok: return "ok";
    case channel_status::would_block: return "would_block";
    case channel_status::closed: return "closed";
    case channel_status::timeout: return "timeout";
  }
  return "?";
}

namespace detail {

namespace mo = sched::platform::mo;

void node_queue::remove(channel_node& n) noexcept {
  if (!n.queued) return;
  if (n.prev != nullptr) {
    n.prev->next = n.next;
  } else {
    head_ = n.next;
  }
  (n.next != nullptr ? n.next->prev : tail_) = n.prev;
  n.next = n.prev = nullptr;
  n.queued = false;
}

channel_node* node_queue::claim_that_or_next(channel_node& n) noexcept {
  for (channel_node* at = &n; at != nullptr; at = pop_front()) {
    if (at->claim(at->on_transfer)) return at;
  }
  return nullptr;
}

channel_node* node_queue::claim_front_but(const node_keeper* mine) noexcept {
  for (channel_node* n = head_; n != nullptr;) {
    channel_node* const following = n->next;
    if (n->keeper != mine) {
      remove(*n);
      if (n->claim(n->on_transfer)) return n;
    }
    n = following;
  }
  return nullptr;
}

channel_core::channel_core(const element_type& type, std::size_t capacity) : type_(type), capacity_(capacity) {
  if (capacity == 0) return;
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(capacity, type.size, &bytes)) throw std::bad_alloc();
  ring_ = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{type.alignment}));
}

channel_core::~channel_core() {
  for (std::size_t left = size_; left > 0; --left) {
    type_.destroy(slot(head_));
    if (++head_ == capacity_) head_ = 0;
  }
  ::operator delete (ring_, std::align_val_t{type_.alignment});
}

channel_core* channel_core::make(const element_type& type, std::size_t capacity) {
  return new channel_core(type, capacity);
}

void channel_core::release() noexcept {
  // acq_rel: the thread that drops the last reference sees everything the others did with the channel.
  if (references_.fetch_sub(1, mo::acq_rel) == 1) delete this;
}

inline void channel_core::append(void* value) noexcept {
  std::size_t tail = head_ + size_;
  if (tail >= capacity_) tail -= capacity_;
  type_.store(slot(tail), value);
  size_ = size_ + 1;
}

inline void channel_core::take_oldest(void* out) noexcept {
  type_.take(out, slot(head_));
  if (++head_ == capacity_) head_ = 0;
  size_ = size_ - 1;
}

inline void channel_core::pass_to(channel_node* receiver, void* value, transfer& t) const noexcept {
  t.peer_ = receiver;
  t.pass_ = type_.pass;
  t.out_ = receiver->element;
  t.value_ = value;
}

inline void channel_core::pass_from(channel_node* sender, void* out, transfer& t) const noexcept {
  t.peer_ = sender;
  t.pass_ = type_.pass;
  t.out_ = out;
  t.value_ = sender->element;
}

channel_status channel_core::attempt_send(void* value, transfer& t) noexcept {
  if (closed_) return channel_status::closed;
  if (channel_node* const receiver = receivers_.claim_front()) {
    pass_to(receiver, value, t);
    return channel_status::ok;
  }
  if (size_ == capacity_) return channel_status::would_block;
  append(value);
  return channel_status::ok;
}

channel_status channel_core::attempt_receive(void* out, transfer& t) noexcept {
  if (size_ > 0) {
    take_oldest(out);
    if (channel_node* const sender = senders_.claim_front()) {
      append(sender->element);
      t.peer_ = sender;
    }
    return channel_status::ok;
  }
  if (channel_node* const sender = senders_.claim_front()) {
    pass_from(sender, out, t);
    return channel_status::ok;
  }
  return closed_ ? channel_status::closed : channel_status::would_block;
}

// In these two functions, once no waiter could be claimed, the keeper's nodes are the only ones left in the queue, and
// the keeper does not wait. So an attempt to claim one tells the keeper of each.
channel_status channel_core::attempt_send_but(const node_keeper* mine, void* value, transfer& t) noexcept {
  if (closed_) return channel_status::closed;
  if (channel_node* const receiver = receivers_.claim_front_but(mine)) {
    pass_to(receiver, value, t);
    return channel_status::ok;
  }
  if (size_ == capacity_) return channel_status::would_block;
  append(value);
  static_cast<void>(receivers_.claim_front());
  return channel_status::ok;
}

channel_status channel_core::attempt_receive_but(const node_keeper* mine, void* out, transfer& t) noexcept {
  if (size_ > 0) {
    take_oldest(out);
    if (channel_node* const sender = senders_.claim_front_but(mine)) {
      append(sender->element);
      t.peer_ = sender;
    } else {
      static_cast<void>(senders_.claim_front());
    }
    return channel_status::ok;
  }
  if (channel_node* const sender = senders_.claim_front_but(mine)) {
    pass_from(sender, out, t);
    return channel_status::ok;
  }
  return closed_ ? channel_status::closed : channel_status::would_block;
}

channel_status channel_core::try_send(void* value) noexcept {
  transfer t;
  lock();
  const channel_status s = attempt_send(value, t);
  unlock();
  t.finish();
  return s;
}

channel_status channel_core::try_receive(void* out) noexcept {
  transfer t;
  lock();
  const channel_status s = attempt_receive(out, t);
  unlock();
  t.finish();
  return s;
}

namespace {

channel_status status_of(std::uint32_t outcome) noexcept {
  switch (outcome) {
    case sched::waiter::signalled: return channel_status::ok;
    case sched::waiter::closed: return channel_status::closed;
    default: return channel_status::timeout;
  }
}

}  // namespace

channel_status channel_core::send(void* value, std::int64_t deadline_ns) noexcept {
  transfer t;
  lock();
  const channel_status s = attempt_send(value, t);
  if (s != channel_status::would_block) {
    unlock();
    t.finish();
    sched::yield_if_due();
    return s;
  }
  sched::waiter w;
  channel_node n;
  n.who = &w;
  n.element = value;
  w.prepare(sched::wait_reason::channel_send);
  wait_to_send(n);
  unlock();
  const channel_status result = status_of(w.wait(deadline_ns));
  if (result == channel_status::timeout) {
    lock();
    stop_waiting_to_send(n);
    unlock();
  }
  return result;
}

channel_status channel_core::receive(void* out, std::int64_t deadline_ns) noexcept {
  transfer t;
  lock();
  const channel_status s = attempt_receive(out, t);
  if (s != channel_status::would_block) {
    unlock();
    t.finish();
    sched::yield_if_due();
    return s;
  }
  sched::waiter w;
  channel_node n;
  n.who = &w;
  n.element = out;
  w.prepare(sched::wait_reason::channel_receive);
  wait_to_receive(n);
  unlock();
  const channel_status result = status_of(w.wait(deadline_ns));
  if (result == channel_status::timeout) {
    lock();
    stop_waiting_to_receive(n);
    unlock();
  }
  return result;
}

bool channel_core::close() noexcept {
  node_queue claimed;
  lock();
  if (closed_) {
    unlock();
    return false;
  }
  closed_ = true;
  for (node_queue* const q : {&receivers_, &senders_}) {
    while (channel_node* const n = q->pop_front()) {
      if (n->claim(n->on_close)) claimed.push_back(*n);
    }
  }
  unlock();
  while (channel_node* const n = claimed.pop_front()) sched::ready(n->who->who());
  return true;
}

bool channel_core::is_closed() const noexcept {
  lock();
  const bool now = closed_;
  unlock();
  return now;
}

std::size_t channel_core::size() const noexcept {
  lock();
  const std::size_t now = size_;
  unlock();
  return now;
}

}  // namespace detail
}  // namespace baton
