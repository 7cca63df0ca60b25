// What the server keeps: values by key, in 64 parts with a lock each.
//
// A request locks the parts of its keys, lowest first, so that no two requests wait for each other, and a request on
// several keys is atomic. Values whose time is over are not found any more; the next request that meets them, or
// sweep(), removes them.
#pragma once

#include <baton/runtime/mutex.h>

#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace key_value {

// Containers whose keys are found by a view, without a string.
struct hash_of_text {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
};
template <class T>
using map_by_text = absl::flat_hash_map<std::string, T, hash_of_text, std::equal_to<>>;

using list = std::deque<std::string>;
using set = absl::flat_hash_set<std::string, hash_of_text, std::equal_to<>>;
using hash = map_by_text<std::string>;

// Members in the order of their scores.
struct sorted_set {
  map_by_text<double> scores;
  absl::btree_set<std::pair<double, std::string>> order;

  // Returns true if the member is new.
  bool put(std::string_view member, double score);
  bool erase(std::string_view member);
};

inline constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

struct value {
  std::variant<std::string, list, set, hash, sorted_set> data;
  std::int64_t ends_ms = never;
};

class store {
 public:
  static constexpr std::size_t parts = 64;
  using part_set = std::uint64_t;  // a bit for each
  static constexpr part_set all_parts = ~part_set{0};
  static part_set part_of(std::string_view key) noexcept { return part_set{1} << (hash_of_text()(key) % parts); }

  // Switches. Holds the locks of these parts.
  class held {
   public:
    held(store& s, part_set which);
    ~held();
    held(const held&) = delete;
    held& operator=(const held&) = delete;

   private:
    store& store_;
    const part_set which_;
  };

  // Requires: the key's part is held. now_ms: from a clock that the caller chooses; always the same clock.
  value* find(std::string_view key, std::int64_t now_ms);
  value& find_or_make(std::string_view key, std::int64_t now_ms);
  bool erase(std::string_view key, std::int64_t now_ms);
  // Requires: all parts are held.
  [[nodiscard]] std::size_t size() const noexcept;
  void clear() noexcept;
  template <class F>
  void for_each_key(F&& f, std::int64_t now_ms) const {
    for (const part& p : parts_) {
      for (const auto& [key, v] : p.values) {
        if (v.ends_ms > now_ms) f(key);
      }
    }
  }

  // Switches. Removes the values of one part whose time is over. The caller holds no part.
  void sweep(std::size_t index, std::int64_t now_ms);

 private:
  struct part {
    baton::mutex lock;
    map_by_text<value> values;
  };
  part& part_for(std::string_view key) noexcept { return parts_[hash_of_text()(key) % parts]; }

  std::array<part, parts> parts_;
};

}  // namespace key_value
