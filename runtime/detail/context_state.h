// What the handles of one context share. Internal; users include context.h.
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/runtime/detail/timer_worker.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/timer.h>
#include <baton/sched/waiter.h>

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace baton::detail {

class context_state;

// What hangs on a context: a part of its children, waiters and subscribers.
struct context_branch {
  sched::platform::spin_lock lock;

  // Guarded by lock. Children that no canceller has visited yet, and those that one has.
  context_state* children = nullptr;
  context_state* visited = nullptr;
  sched::waiter_list waiters;
  net::cancellation::node* subscribers = nullptr;
  const net::cancellation::node* notifying = nullptr;  // the subscriber that is being called
  bool somebody_waits = false;                         // in unsubscribe(), for the end of that call
  bool holds_context = false;                          // the last child releases the context
  bool had_children = false;
  sched::platform::atomic<std::uint32_t> calls_ended{0};

  [[nodiscard]] bool bare() const noexcept { return children == nullptr && subscribers == nullptr && waiters.empty(); }
};

// context_state.cc describes the holds and the locks.
class context_state final : public net::cancellation, private work_item {
 public:
  // A null parent is the background. Throws std::bad_alloc.
  [[nodiscard]] static std::shared_ptr<context_state> make(context_state* parent, std::int64_t deadline_ns);

  // Returns true if this context or any context above it is done.
  [[nodiscard]] bool is_done() const noexcept {
    // acquire: pairs with the release in mark(); the cause is complete.
    if (done_.load(sched::platform::mo::acquire)) return true;
    return parent_ != nullptr && done_above();
  }
  [[nodiscard]] absl::Status error() const override;
  [[nodiscard]] std::int64_t deadline_ns() const noexcept { return deadline_ns_; }

  void cancel(absl::Status cause) noexcept;
  // Switches. Returns false if the deadline passed first.
  [[nodiscard]] bool wait(std::int64_t deadline_ns);

  [[nodiscard]] bool subscribe(node& n) noexcept override;
  void unsubscribe(node& n) noexcept override;

 private:
  struct branches;
  struct handles_end;
  template <class T>
  struct control_memory;

  context_state(context_state* parent, std::int64_t deadline_ns) noexcept
      : parent_(parent), deadline_ns_(deadline_ns) {}
  ~context_state() override;

  // Becoming done.
  void mark(const absl::Status& cause) const noexcept;
  [[nodiscard]] bool done_above() const noexcept;
  [[nodiscard]] bool take(const absl::Status& cause) noexcept;
  [[nodiscard]] bool step(context_state*& found) noexcept;
  [[nodiscard]] bool take_unless_bare(const absl::Status& cause) noexcept;
  [[nodiscard]] bool visit_children(context_branch& b, context_state*& found) noexcept;
  [[nodiscard]] static bool notify_subscribers(context_branch& b) noexcept;
  void run() noexcept override;
  static void on_timer(void* self, std::uint64_t seq, sched::fiber_list& readied) noexcept;

  // The tree.
  void arm();
  void link_to_parent() noexcept;
  void hang(context_state*& list) noexcept;
  void unhang() noexcept;
  [[nodiscard]] bool unlink_from_parent() noexcept;
  [[nodiscard]] std::size_t branch_count() const noexcept;
  [[nodiscard]] context_branch& branch(std::size_t i) const noexcept;
  [[nodiscard]] context_branch& branch_of(std::uint32_t p) const noexcept;
  [[nodiscard]] bool is_mine(const context_branch& b) const noexcept;
  [[nodiscard]] bool is_crowded(std::uint32_t p) noexcept;
  void add_branches() noexcept;

  // Life.
  void close() noexcept;
  [[nodiscard]] bool try_hold() noexcept;
  static void let_go(context_state* s) noexcept;

  // ---- read by all threads ----
  context_state* parent_;           // null: none, or the parent was done before this was made
  const std::int64_t deadline_ns_;  // the earliest on the way to the root; forever_ns: none
  // Written once, under own_.lock. The cause is complete before. An ok cause means a deadline.
  mutable sched::platform::atomic<bool> done_{false};
  mutable absl::Status cause_;
  sched::platform::atomic<branches*> more_{nullptr};  // published under own_.lock, while not done

  // ---- its place among the children of the parent; guarded by the lock of in_ ----
  context_branch* in_ = nullptr;  // null: not linked; does not change after that
  context_state* next_sibling_ = nullptr;
  context_state** link_ = nullptr;  // the pointer that points to this

  // ---- guarded by own_.lock ----
  sched::timer_handle timer_;
  bool taken_ = false;  // a thread handles what hangs on the context, since it is done
  std::uint32_t crowding_ = 0;
  std::uint32_t last_p_ = 0;
  // Used by the taker.
  std::size_t swept_ = 0;  // the number of branches that are finished

  mutable context_branch own_;
  sched::platform::atomic<std::uint32_t> holds_{1};
  static constexpr std::size_t control_size = 48;
  alignas(std::max_align_t) std::byte control_[control_size];  // for the shared_ptr
};

}  // namespace baton::detail
