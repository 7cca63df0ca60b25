// The arrays that a wait works on are sized by add(), so that wait() allocates nothing. A wait uses them
// until its case has been chosen; the case's function, which runs afterwards, may therefore change the
// selector and wait on it again.
#include <baton/runtime/selector.h>

#include <algorithm>

namespace baton {

std::size_t selector::keep(std::shared_ptr<detail::any_case> c) {
  const std::size_t n = items_.size() + 1;
  if (entries_.size() < n) {
    const std::size_t room = std::max<std::size_t>(8, 2 * n);
    items_.reserve(room);
    links_.resize(room);
    locks_.resize(room);
    order_.resize(room);
    entries_.resize(room);  // the last: its size vouches for the others'
  }
  items_.push_back({next_index_, std::move(c)});
  return next_index_++;
}

void selector::remove(std::size_t index) noexcept {
  const auto at = std::lower_bound(items_.begin(), items_.end(), index,
                                   [](const item& i, std::size_t wanted) { return i.index < wanted; });
  if (at == items_.end() || at->index != index) return;
  // Destroyed when the list is right again: what it owns may use the selector in its destructor.
  const std::shared_ptr<detail::any_case> removed = std::move(at->what);
  items_.erase(at);
}

std::optional<std::size_t> selector::wait_until_ns(std::int64_t deadline_ns) {
  const std::size_t n = items_.size();
  for (std::size_t i = 0; i < n; ++i) {
    entries_[i] = {};
    items_[i].what->describe(entries_[i]);
  }
  const detail::select_result chosen =
      detail::run_select({entries_.data(), links_.data(), locks_.data(), order_.data(), n, deadline_ns});
  if (chosen.index == detail::select_frame::none) return std::nullopt;
  const std::size_t index = items_[chosen.index].index;
  const std::shared_ptr<detail::any_case> running = items_[chosen.index].what;
  running->run(chosen.ok);
  return index;
}

}  // namespace baton
