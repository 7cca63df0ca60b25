// Public API: baton::task_group, fibers that belong together: they are waited for together, and the first that fails
// cancels the others.
//
//   baton::task_group tasks(ctx);
//   for (const auto& part : parts) {
//     tasks.spawn([&part](const baton::context& ctx) -> absl::Status { return fetch(part, ctx); });
//   }
//   absl::Status first_error = tasks.wait();      // switches
//
// A child is a function of (const context&) or of () that returns void or absl::Status; it may be move-only. The
// context is the group's own, below the one that the group was made with. A child fails with a status that is not ok,
// or an exception. The first failure cancels the group's context, with the status as its cause. A child that has ended
// leaves nothing behind: a group may run for ever, and have any number of children.
//
// Several fibers and threads may call all members at once; children may spawn more children. The group can be used
// again after wait(), but a failure stays.
#pragma once

#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/sched/durations.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace baton {

class task_group {
 public:
  // Throws std::bad_alloc.
  explicit task_group(const context& parent = context::background()) : ctx_(with_cancel(parent)) {}
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;

  // Cancels the children that still run, and waits for them. An exception that no wait() has thrown is reported on
  // stderr. Switches.
  ~task_group();

  // Runs f as a fiber of the group, also when the group has been cancelled: f sees that by the context. If there is a
  // limit, waits until fewer children run, or the group is cancelled; it switches then. From the cancel on the limit
  // does not hold, so that no agent waits for the end of children that are to end. Throws std::bad_alloc.
  template <class F>
  void spawn(F&& f) {
    static_cast<void>(spawn_until_ns(sched::platform::forever_ns, std::forward<F>(f)));
  }

  // As spawn(), but return false if there is no room, or none before the time has passed: f does not run, and is not
  // moved from. The timed forms switch.
  template <class F>
  [[nodiscard]] bool try_spawn(F&& f) {
    return spawn_until_ns(0, std::forward<F>(f));
  }
  template <class Rep, class Period, class F>
  [[nodiscard]] bool spawn_for(const std::chrono::duration<Rep, Period>& timeout, F&& f) {
    return spawn_until_ns(detail::deadline_after(timeout), std::forward<F>(f));
  }
  template <class Clock, class Duration, class F>
  [[nodiscard]] bool spawn_until(const std::chrono::time_point<Clock, Duration>& when, F&& f) {
    return detail::until(when,
                         [&](std::int64_t deadline_ns) { return spawn_until_ns(deadline_ns, std::forward<F>(f)); });
  }

  // Waits until no child runs. Throws the exception, or returns the status, of the first child that failed. Returns ok
  // if none failed. Switches.
  absl::Status wait();

  // Wait for no longer than the given time. Return true if no child runs; wait() then says how they ended. Switch.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(const std::chrono::duration<Rep, Period>& timeout) {
    return wait_deadline(detail::deadline_after(timeout));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(const std::chrono::time_point<Clock, Duration>& when) {
    return detail::until(when, [this](std::int64_t ns) { return wait_deadline(ns); });
  }

  // Cancels the group's context. Does not wait. A cancel alone is not a failure: wait() returns what the children make
  // of it.
  void cancel(absl::Status cause = absl::CancelledError()) { ctx_.cancel(std::move(cause)); }

  // Lets at most so many children run at once, until the group is cancelled. A negative number means no limit. Applies
  // to the children that are spawned from now on, and to spawns that wait for room. Zero aborts: spawn() would wait
  // until the group is cancelled.
  void set_limit(int children);

  // Returns the context that the children get.
  [[nodiscard]] const context& ctx() const noexcept { return ctx_; }

 private:
  template <class F>
  struct child {
    using wrapped_function = F;
    task_group* group;
    std::optional<F> held;

    void operator()() {
      group->run_child(std::move(*held));
      held.reset();  // the objects that it refers to may be gone after child_ended()
      end_locals();  // so may the objects that those refer to
      group->child_ended();
    }
  };

  template <class F>
  bool spawn_until_ns(std::int64_t deadline_ns, F&& f) {
    using function = std::decay_t<F>;
    constexpr bool is_task = std::is_invocable_v<function, const context&> || std::is_invocable_v<function>;
    static_assert(is_task, "a task takes a const context&, or nothing");
    if (!begin_child(deadline_ns)) return false;
    if constexpr (is_task) {
      try {
        go(child<function>{this, std::optional<function>(std::in_place, std::forward<F>(f))});
      } catch (...) {
        child_ended();
        throw;
      }
    }
    return true;
  }

  template <class F>
  absl::Status call(F&& f) {
    const auto invoke = [&]() -> decltype(auto) {
      if constexpr (std::is_invocable_v<F, const context&>) {
        return std::invoke(std::forward<F>(f), ctx());
      } else {
        return std::invoke(std::forward<F>(f));
      }
    };
    using result = decltype(invoke());
    static_assert(std::is_void_v<result> || std::is_same_v<std::remove_cvref_t<result>, absl::Status>,
                  "a task returns void or absl::Status");
    if constexpr (std::is_same_v<std::remove_cvref_t<result>, absl::Status>) {
      return invoke();
    } else {
      invoke();
      return absl::OkStatus();
    }
  }

  template <class F>
  void run_child(F&& f) noexcept {
    try {
      absl::Status s = call(std::forward<F>(f));
      if (!s.ok()) failed(std::move(s), nullptr);
    } catch (...) {
      failed(absl::OkStatus(), detail::caught_exception());
    }
  }

  [[nodiscard]] bool begin_child(std::int64_t deadline_ns);
  [[nodiscard]] bool counted(bool anyway) noexcept;
  static void end_locals() noexcept;
  void child_ended() noexcept;
  void failed(absl::Status status, std::exception_ptr exception) noexcept;
  bool wait_deadline(std::int64_t deadline_ns) noexcept;
  bool enqueue(sched::waiter& w) noexcept;
  bool enqueue_for_room(sched::waiter& w) noexcept;
  void let_in(sched::waiter_list& claimed) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  const cancellable_context ctx_;
  sched::platform::spin_lock lock_;
  std::size_t running_ ABSL_GUARDED_BY(lock_) = 0;  // children, and spawns that have been let in
  std::size_t limit_ ABSL_GUARDED_BY(lock_) = SIZE_MAX;
  sched::waiter_list waiting_for_room_ ABSL_GUARDED_BY(lock_);
  sched::waiter_list waiting_for_end_ ABSL_GUARDED_BY(lock_);
  bool failed_ ABSL_GUARDED_BY(lock_) = false;
  bool thrown_ ABSL_GUARDED_BY(lock_) = false;  // by a wait()
  absl::Status status_ ABSL_GUARDED_BY(lock_);  // of the first failure; ok: it was an exception
  std::exception_ptr exception_ ABSL_GUARDED_BY(lock_);
};

}  // namespace baton
