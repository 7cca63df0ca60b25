// Which Ms lose their P although they have not said that they block. Used by the monitor alone.
#pragma once

#include <baton/sched/limits.h>
#include <baton/sched/machine.h>

#include <cstdint>

namespace baton::sched {

class rescue_policy {
 public:
  enum class verdict : std::uint8_t { none, blocked, computing };

  // How old a visit must be.
  void set_after(std::int64_t ns) noexcept { after_ns_ = ns; }
  [[nodiscard]] std::int64_t after() const noexcept { return after_ns_; }

  // m has been at visit v in user code for age_ns, counted in looks that came on time, has P number p,
  // and work waits. told: at an earlier look, that its slice is over. procs: how many Ps there are.
  [[nodiscard]] verdict judge(const machine& m, std::uint32_t p, const baton_word::visit& v, std::int64_t age_ns,
                              std::int64_t now_ns, bool told, int procs) noexcept;
  // m's fiber was told that its slice is over, age_ns ago, when its thread had used told_cpu_ns, and has made calls
  // since, but none that may switch: whether it is to lose its P at the next one. Yes: as if it had been taken.
  [[nodiscard]] bool slice_is_overdue(machine& m, std::int64_t told_cpu_ns, std::int64_t age_ns, std::int64_t now_ns,
                                      int procs) noexcept;
  // The P was taken.
  void taken(machine& m, verdict why, std::int64_t now_ns) noexcept;
  // At each look: what do those do whose P was taken?
  void look_after(std::int64_t now_ns) noexcept;
  // At the end of a look, without any lock: if so many compute that one more was left its P, a line says which they
  // are; once a minute.
  void say_if_crowded(std::int64_t now_ns) noexcept;
  // This look came so late that nothing is known of the time before it: the process was stopped, perhaps.
  void forget() noexcept;

 private:
  struct sample {
    const machine* m = nullptr;
    std::uint64_t visit = 0;
    std::int64_t at_ns = 0, cpu_ns = 0, delay_ns = 0;
  };
  // Machines, linked through next_watched.
  class queue {
   public:
    [[nodiscard]] machine* first() const noexcept { return head_; }
    [[nodiscard]] int size() const noexcept { return size_; }
    void push(machine& m) noexcept;
    [[nodiscard]] machine* pop() noexcept;  // null: it is empty

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
  // Those whose fibers go on without a P: hogs_ use the CPU, sleepers_ did not when they were last looked at.
  queue hogs_, sleepers_;
  const machine* left_alone_ = nullptr;  // at this look, because there are too many hogs
  std::int64_t crowd_said_ns_ = 0;
  std::int64_t tokens_since_ns_ = 0;
  int tokens_ = limits::rescues_at_once;
};

// When a monitor begins, and all Ms have ended: those that the one before it had looked after, until a shutdown.
void forget_watched_machines() noexcept;

}  // namespace baton::sched
