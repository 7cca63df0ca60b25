// The calls on a file that wait for room in a gate. Internal to runtime.
#pragma once

#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>
#include <baton/syscall/blocking_gate.h>

namespace baton::detail {

// The calls that wait for room in a gate of the file's device. close() ends them.
class gate_waits {
 public:
  class one final : public gate_entry::canceller {
   public:
    explicit one(gate_waits& all) noexcept : all_(all) {}
    void subscribe(sched::waiter& w) noexcept override;
    void unsubscribe() noexcept override;

   private:
    friend class gate_waits;
    gate_waits& all_;
    sched::waiter* who_ = nullptr;  // null: not in the list
    one* next_ = nullptr;
    one* prev_ = nullptr;
  };

  // All waits end, also later ones.
  void end() noexcept;

 private:
  void unlink(one& w) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  sched::platform::spin_lock lock_;
  one* first_ ABSL_GUARDED_BY(lock_) = nullptr;
  bool ended_ ABSL_GUARDED_BY(lock_) = false;
};

}  // namespace baton::detail
