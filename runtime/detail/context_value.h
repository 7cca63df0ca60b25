// What with_value() adds to a context. Internal; users include context.h.
#pragma once

#include <baton/sched/platform/atomic.h>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace baton::detail {

// One value, of with_value(). Contexts that are derived from its context find it, too. Values are a list from the
// latest to the first. A value holds the one above it.
class context_value {
 public:
  explicit context_value(const void* key) noexcept : key_(key) {}
  virtual ~context_value() { let_go(up_); }
  context_value(const context_value&) = delete;
  context_value& operator=(const context_value&) = delete;

  void hold() noexcept { holds_.fetch_add(1, sched::platform::mo::relaxed); }
  static void let_go(context_value* v) noexcept;
  // Requires: the value is not shared yet, and is below no other.
  void put_below(context_value* up) noexcept {
    if (up != nullptr) up->hold();
    up_ = up;
  }
  // Returns the value for the key in the list that begins with v, or null.
  [[nodiscard]] static const void* find(const context_value* v, const void* key) noexcept;

 private:
  [[nodiscard]] virtual const void* get() const noexcept = 0;

  const void* const key_;
  context_value* up_ = nullptr;
  sched::platform::atomic<std::uint32_t> holds_{1};
};

template <class Key, class = void>
struct context_value_type {
  using type = Key;
};
template <class Key>
struct context_value_type<Key, std::void_t<typename Key::value_type>> {
  using type = typename Key::value_type;
};

// Its address is the key. Not const: equal constants may be merged.
template <class Key>
inline char context_key = 0;

template <class Key>
class typed_context_value final : public context_value {
 public:
  using type = typename context_value_type<Key>::type;
  explicit typed_context_value(type&& v) : context_value(&context_key<Key>), v_(std::move(v)) {}

 private:
  [[nodiscard]] const void* get() const noexcept override { return &v_; }
  const type v_;
};

}  // namespace baton::detail
