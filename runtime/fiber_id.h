// Public API: baton::fiber_id, the number that names a fiber: unique in the process, never reused.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <utility>

namespace baton {

// A plain value. A default-constructed id names no fiber; this_fiber::id() returns it on a thread that runs none.
// Fibers are numbered roughly in the order of their creation.
class fiber_id {
 public:
  constexpr fiber_id() noexcept = default;
  constexpr explicit fiber_id(std::uint64_t value) noexcept : value_(value) {}

  // Returns the number that dumps, traces and error messages show, or 0 for no fiber.
  [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_; }
  constexpr explicit operator bool() const noexcept { return value_ != 0; }

  friend constexpr bool operator==(fiber_id, fiber_id) noexcept = default;
  friend constexpr std::strong_ordering operator<=>(fiber_id, fiber_id) noexcept = default;
  template <class H>
  friend H AbslHashValue(H state, fiber_id id) {
    return H::combine(std::move(state), id.value_);
  }

 private:
  std::uint64_t value_ = 0;
};

// Returns "17", or "none" for no fiber.
[[nodiscard]] std::string to_string(fiber_id id);
std::ostream& operator<<(std::ostream& out, fiber_id id);

}  // namespace baton

template <>
struct std::hash<baton::fiber_id> {
  std::size_t operator()(baton::fiber_id id) const noexcept { return std::hash<std::uint64_t>{}(id.value()); }
};
