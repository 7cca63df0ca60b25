// The state of the future that when_all() or when_any() returns. Internal; users include when_all.h.
#pragma once

#include <baton/runtime/detail/future_state.h>
#include <baton/sched/platform/atomic.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace baton::detail {

// The part that does not depend on the types. combined_state.cc describes it.
class combination {
 public:
  enum class of : std::uint8_t { all, any };
  static constexpr std::size_t none = SIZE_MAX;

  combination(const combination&) = delete;
  combination& operator=(const combination&) = delete;

  // Require: the state outlives the result. add() is called once for each future, then begin() once.
  void add(future_core& state) noexcept {
    links_[added_].owner = this;
    links_[added_++].state = &state;
  }
  // Listens to the futures. Switches if there are deferred functions, which it runs.
  void begin() noexcept;

 protected:
  // Throws std::bad_alloc.
  combination(of what, std::size_t futures)
      : links_(futures == 0 ? nullptr : new link[futures]), what_(what), missing_(what == of::all ? futures + 1 : 2) {}
  virtual ~combination() = default;

  // Called when the last handle is gone, by the state's unheld(). Returns true if no listener looks at the
  // futures any more, and false if the state must be left as it is (await_result()). Switches.
  [[nodiscard]] bool stop() noexcept;
  // Gives up a reference to the memory.
  void release() noexcept {
    // acq_rel: the last one sees what all the others did.
    if (references_.fetch_sub(1, sched::platform::mo::acq_rel) == 1) free_memory();
  }

 private:
  struct link final : future_listener {
    combination* owner = nullptr;
    future_core* state = nullptr;
    void on_ready() noexcept override { owner->heard(*this); }
  };
  static constexpr std::size_t stopped = SIZE_MAX - 1;

  // Writes the index of the future that came first, and makes the result ready.
  virtual void complete(std::size_t first) noexcept = 0;
  [[nodiscard]] virtual bool await_completion() noexcept = 0;
  virtual void free_memory() noexcept = 0;

  void heard(const link& l) noexcept;
  void count_down() noexcept;
  void leave_all() noexcept;

  const std::unique_ptr<link[]> links_;
  std::size_t added_ = 0;
  const of what_;
  sched::platform::atomic<std::size_t> missing_;
  sched::platform::atomic<std::size_t> first_{none};
  sched::platform::atomic<std::size_t> references_{1};  // the handles together, and each link that a future may call
};

// Result: the sequence of the futures, or a when_any_result, which has it.
template <class Result>
class combined_state final : public future_state<Result>, public combination {
 public:
  // Throws std::bad_alloc.
  combined_state(of what, std::size_t futures) : combination(what, futures) {}
  ~combined_state() override = default;

  // Keeps the futures, which must not move any more. Called before add().
  Result& keep(Result&& r) noexcept {
    this->result_.emplace(std::move(r));
    return this->result_.value();
  }

 private:
  void complete([[maybe_unused]] std::size_t first) noexcept override {
    if constexpr (requires(Result & r) { r.index = first; }) this->result_.value().index = first;
    this->make_ready();
  }
  bool await_completion() noexcept override { return this->await_result(); }
  void free_memory() noexcept override { delete this; }
  void unheld() noexcept override {
    if (!stop()) return;
    this->result_.clear();  // here, not in the agent that makes the last future ready: a future may wait for its end
    release();
  }
};

}  // namespace baton::detail
