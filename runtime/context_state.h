// What the handles of one context share. Not for users: context.h is.
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/runtime/courier.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/timer.h>
#include <baton/sched/waiter.h>

#include <absl/status/status.h>

#include <cstdint>
#include <memory>

namespace baton::detail {

// See context.cc for who holds what, and the lock.
class context_state final : public net::cancellation,
                            public std::enable_shared_from_this<context_state>,
                            private errand {
 public:
  // Null parent: below the background.
  [[nodiscard]] static std::shared_ptr<context_state> make(std::shared_ptr<context_state> parent,
                                                           std::int64_t deadline_ns);
  context_state(std::shared_ptr<context_state> parent, std::int64_t deadline_ns) noexcept;
  ~context_state() override;

  [[nodiscard]] bool is_done() const noexcept {
    // acquire: pairs with the release in finish_tree(); the cause is complete.
    return source_.load(sched::platform::mo::acquire) != nullptr;
  }
  [[nodiscard]] absl::Status error() const override;
  [[nodiscard]] std::int64_t deadline_ns() const noexcept { return deadline_ns_; }

  void cancel(absl::Status cause);
  // (S) False: the deadline passed first.
  [[nodiscard]] bool wait(std::int64_t deadline_ns);

  [[nodiscard]] bool subscribe(node& n) noexcept override;
  void unsubscribe(node& n) noexcept override;

 private:
  struct work;
  // Of a context that is done: gives up its timer, calls its subscribers, and lets it go.
  void run() noexcept override;
  void notify_subscribers() noexcept;
  static void on_timer(void* self, std::uint64_t seq, sched::fiber_list& readied) noexcept;
  static void take_work(context_state* s, work& todo) noexcept;
  static context_state* next_in_tree(context_state* s, const context_state* top, bool skip_children) noexcept;
  void finish_tree(work& todo) noexcept;
  void link_to_parent() noexcept;
  void unlink_from_parent() noexcept;
  static void drop_chain(std::shared_ptr<context_state> up) noexcept;

  std::shared_ptr<context_state> parent_;  // given up at the end of its life: see drop_chain()
  context_state* const root_;              // of the tree, perhaps this; its lock_ guards the whole tree
  const std::int64_t deadline_ns_;         // the earliest on the way to the root; forever_ns: none
  sched::platform::spin_lock lock_;        // used in the root only
  sched::timer_handle timer_;              // written once, by make(), under the lock

  // Null while not done; then the context with the cause: this one or one above, which is kept alive
  // by parent_. Written once, under the lock.
  sched::platform::atomic<const context_state*> source_{nullptr};
  absl::Status cause_;  // of a source; written before source_

  // Guarded by root_->lock_.
  context_state* first_child_ = nullptr;
  context_state* next_sibling_ = nullptr;
  context_state* prev_sibling_ = nullptr;
  sched::waiter_list waiters_;
  node* subscribers_ = nullptr;      // a node's data is this while it is linked here
  const node* notifying_ = nullptr;  // the subscriber that is being called
  bool somebody_waits_ = false;      // in unsubscribe, for the end of that call
  sched::platform::atomic<std::uint32_t> calls_ended_{0};

  // While run() is still to come: keeps this alive.
  std::shared_ptr<context_state> keep_alive_;
};

}  // namespace baton::detail
