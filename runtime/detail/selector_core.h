// What selector keeps: its cases, without their types. Internal; users include selector.h.
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/runtime/detail/channel_core.h>
#include <baton/runtime/detail/select_cases.h>
#include <baton/runtime/detail/select_core.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/waiter.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace baton::detail {

class selector_core;

// A case. It never moves, because it may hold references into itself. See selector_core.cc.
class any_case : private net::cancellation::node {
 public:
  any_case() = default;
  any_case(const any_case&) = delete;
  any_case& operator=(const any_case&) = delete;
  virtual ~any_case() = default;
  virtual void describe(select_entry& e) = 0;
  virtual void run(bool ok) = 0;

 private:
  friend class selector_core;
  enum class place : std::uint8_t {
    nowhere,  // it is never ready
    to_try,   // perhaps it is ready
    told_of,  // it was not ready; a channel or a context tells it when it may be ready
    aside,    // a time, or otherwise
  };
  struct kept_node : channel_node {
    any_case* of = nullptr;
  };
  void cancelled() noexcept override;

  selector_core* home_ = nullptr;
  std::size_t index_ = 0;
  place place_ = place::nowhere;
  bool stale_ = true;  // entry_ has to be filled in
  bool subscribed_ = false;
  std::size_t position_ = 0;  // in to_try_
  select_entry entry_;
  kept_node node_;
  std::shared_ptr<net::cancellation> source_;  // while subscribed
  any_case* next_told_ = nullptr;              // guarded by the selector's lock
};

template <class Case>
class owned_case final : public any_case {
 public:
  explicit owned_case(Case c) : case_(std::move(c)) { case_.own(); }
  void describe(select_entry& e) override { case_.describe(e); }
  void run(bool ok) override { case_.run(ok); }

 private:
  Case case_;
};

class selector_core final : private node_keeper {
 public:
  selector_core() = default;
  selector_core(const selector_core&) = delete;
  selector_core& operator=(const selector_core&) = delete;
  ~selector_core();

  // Throws std::bad_alloc; then the selector is unchanged.
  std::size_t add(std::shared_ptr<any_case> c);
  void remove(std::size_t index) noexcept;
  // Switches. Returns the index of the case that ran, or nullopt if the deadline passed first.
  std::optional<std::size_t> wait(std::int64_t deadline_ns) {
    std::int64_t began_ns = 0;
    return wait(deadline_ns, began_ns);
  }
  // Switches. The same. began_ns is 0 at first, and is kept if a wait is tried again because a clock is slow: timeouts
  // count from the start.
  std::optional<std::size_t> wait(std::int64_t deadline_ns, std::int64_t& began_ns);

 private:
  friend class any_case;
  using times = std::set<std::pair<std::int64_t, std::size_t>>;
  struct ending;
  enum class tried : std::uint8_t { not_ready, ok, refused };

  [[nodiscard]] bool claim(channel_node& n, std::uint32_t how) noexcept override;
  [[nodiscard]] bool claim_or_note(any_case& c, std::uint32_t how) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void context_done(any_case& c) noexcept;

  [[nodiscard]] times* times_of(const any_case& c) noexcept;
  void withdraw(any_case& c) noexcept;
  void collect_told() noexcept;
  void put_to_try(any_case& c) noexcept;
  void take_from_try(any_case& c) noexcept;
  [[nodiscard]] tried attempt(any_case& c);
  [[nodiscard]] tried attempt_on_channel(any_case& c, transfer& t) noexcept;
  [[nodiscard]] tried attempt_on_context(any_case& c) noexcept;
  [[nodiscard]] any_case* choose(bool& ok);
  [[nodiscard]] ending find_ending(std::int64_t deadline_ns, std::int64_t& began_ns) const noexcept;
  [[nodiscard]] bool put_off(any_case& c);
  [[nodiscard]] bool nothing_told() noexcept;
  std::size_t run(any_case& c, bool ok);

  std::unordered_map<std::size_t, std::shared_ptr<any_case>> cases_;
  std::size_t next_index_ = 0;
  std::vector<any_case*> to_try_;  // has room for all cases
  times timeouts_;                 // by duration
  times deadlines_;
  times others_;  // `otherwise`; the time is 0

  sched::platform::spin_lock lock_;
  sched::waiter* waiting_ ABSL_GUARDED_BY(lock_) = nullptr;  // the waiter that can be claimed
  any_case* winner_ ABSL_GUARDED_BY(lock_) = nullptr;        // the case that claimed it
  any_case* told_ ABSL_GUARDED_BY(lock_) = nullptr;          // the cases that were told while the selector did not wait
};

}  // namespace baton::detail
