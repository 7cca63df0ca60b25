#include "store.h"

#include <bit>

namespace key_value {

bool sorted_set::put(std::string_view member, double score) {
  const auto [at, is_new] = scores.try_emplace(member, score);
  if (!is_new) {
    if (at->second == score) return false;
    order.erase({at->second, at->first});
    at->second = score;
  }
  order.emplace(score, member);
  return is_new;
}

bool sorted_set::erase(std::string_view member) {
  const auto at = scores.find(member);
  if (at == scores.end()) return false;
  order.erase({at->second, at->first});
  scores.erase(at);
  return true;
}

store::held::held(store& s, part_set which) : store_(s), which_(which) {
  for (part_set rest = which_; rest != 0; rest &= rest - 1) store_.parts_[std::countr_zero(rest)].lock.lock();
}

store::held::~held() {
  for (part_set rest = which_; rest != 0; rest &= rest - 1) store_.parts_[std::countr_zero(rest)].lock.unlock();
}

value* store::find(std::string_view key, std::int64_t now_ms) {
  auto& values = part_for(key).values;
  const auto at = values.find(key);
  if (at == values.end()) return nullptr;
  if (at->second.ends_ms > now_ms) [[likely]]
    return &at->second;
  values.erase(at);
  return nullptr;
}

value& store::find_or_make(std::string_view key, std::int64_t now_ms) {
  value& found = part_for(key).values.try_emplace(key).first->second;
  if (found.ends_ms <= now_ms) found = value{};
  return found;
}

bool store::erase(std::string_view key, std::int64_t now_ms) {
  auto& values = part_for(key).values;
  const auto at = values.find(key);
  if (at == values.end()) return false;
  const bool was_there = at->second.ends_ms > now_ms;
  values.erase(at);
  return was_there;
}

std::size_t store::size() const noexcept {
  std::size_t n = 0;
  for (const part& p : parts_) n += p.values.size();
  return n;
}

void store::clear() noexcept {
  for (part& p : parts_) p.values.clear();
}

void store::sweep(std::size_t index, std::int64_t now_ms) {
  part& p = parts_[index];
  const std::lock_guard hold(p.lock);
  absl::erase_if(p.values, [now_ms](const auto& entry) { return entry.second.ends_ms <= now_ms; });
}

}  // namespace key_value
