// Decides which Ms lose their P although they have not declared a blocking call. Only the monitor uses it.
#pragma once

#include <baton/sched/limits.h>
#include <baton/sched/machine.h>
#include <baton/sched/platform/thread_state.h>

#include <cstdint>

namespace baton::sched {

class rescue_policy {
 public:
  enum class verdict : std::uint8_t { none, blocked, computing };

  // How old a visit in user code must be to be rescued.
  void set_after(std::int64_t ns) noexcept { after_ns_ = ns; }
  [[nodiscard]] std::int64_t after() const noexcept { return after_ns_; }

  // Judges M m, which has been at visit v in user code for age_ns (counted in sweeps that came on time) and has P
  // number p. Requires: work waits. told: an earlier sweep has told m that its slice is over. procs: the number of Ps.
  [[nodiscard]] verdict judge(const machine& m, std::uint32_t p, const baton_word::visit& v, std::int64_t age_ns,
                              std::int64_t now_ns, bool told, int procs) noexcept;
  // m's fiber was told age_ns ago that its slice is over; `told` is its thread's mark of then. The fiber has made
  // calls since, but none that may switch. Returns true if the M is to lose its P at its next call. From then on m
  // counts as one whose P was taken.
  [[nodiscard]] bool slice_is_overdue(machine& m, const platform::cpu_mark& told, std::int64_t age_ns,
                                      std::int64_t now_ns, int procs) noexcept;
  // The P was taken.
  void taken(machine& m, verdict why, std::int64_t now_ns) noexcept;
  // At each sweep: checks what the fibers do whose P was taken.
  void look_after(std::int64_t now_ns) noexcept;
  // At the end of a sweep, without any lock: if so many fibers compute that one more was left its P, logs a line that
  // names them. At most once a minute.
  void say_if_crowded(std::int64_t now_ns) noexcept;
  // This sweep came so late that nothing is known of the time before it: the process may have been stopped.
  void forget() noexcept;

 private:
  struct sample {
    const machine* m = nullptr;
    std::uint64_t visit = 0;
    platform::run_mark since;
  };
  // Machines, linked through next_watched.
  class queue {
   public:
    [[nodiscard]] machine* first() const noexcept { return head_; }
    [[nodiscard]] int size() const noexcept { return size_; }
    void push(machine& m) noexcept;
    [[nodiscard]] machine* pop() noexcept;  // null: the queue is empty

   private:
    machine* head_ = nullptr;
    machine* tail_ = nullptr;
    int size_ = 0;
  };
  [[nodiscard]] bool room_for_a_hog(const machine& m, std::int64_t age_ns, int procs) noexcept;
  void watch(machine& m, bool computes, std::int64_t now_ns) noexcept;
  void look_after(machine& m, bool computed, std::int64_t now_ns) noexcept;
  [[nodiscard]] bool within_rate(std::int64_t now_ns) noexcept;

  std::int64_t after_ns_ = 0;
  sample samples_[limits::procs_max] = {};
  // Ms whose fibers run on without a P. hogs_ used the CPU at the last check, sleepers_ did not.
  queue hogs_, sleepers_;
  const machine* left_alone_ = nullptr;  // the last M that kept its P in this sweep because there are too many hogs
  std::int64_t crowd_said_ns_ = 0;
  std::int64_t tokens_since_ns_ = 0;
  int tokens_ = limits::rescues_at_once;
};

// Requires: a monitor begins, and all Ms have ended. Forgets the Ms that the previous monitor watched until a shutdown.
void forget_watched_machines() noexcept;

}  // namespace baton::sched
