// The size classes. They are computed once, from the page size and from the size of the signal frame that the kernel
// announces (it grows with the vector registers: 11 KiB with AMX).
//
// Invariants: sizes ascend with the class (they may be equal where pages are large). Each size is a multiple of the
// page size and fits stack::size.
#include <baton/sched/stack/stack.h>

#include <sys/auxv.h>
#include <unistd.h>
#include <algorithm>
#include <array>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

namespace baton::sched {

namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t beside_a_signal_frame = 8 * kib;

struct sizes {
  std::size_t page;
  std::size_t guard;
  std::array<std::size_t, stack_classes> usable;
};

std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

sizes work_out() noexcept {
  sizes s{};
  s.page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  s.guard = round_up(16 * kib, s.page);
  s.usable = {16 * kib, 64 * kib, 256 * kib, 1024 * kib, 8192 * kib};
  std::size_t least = ::getauxval(AT_MINSIGSTKSZ) + beside_a_signal_frame;  // 0 + ... on an old kernel
  for (std::size_t& usable : s.usable) {
    usable = round_up(std::max(usable, least), s.page);
    least = usable;
  }
  return s;
}

const sizes& all() noexcept {
  static const sizes s = work_out();
  return s;
}

}  // namespace

std::size_t stack_class_for(std::size_t size) noexcept {
  const auto& usable = all().usable;
  return static_cast<std::size_t>(std::lower_bound(usable.begin(), usable.end(), size) - usable.begin());
}

std::size_t stack_class_size(std::size_t klass) noexcept { return all().usable[klass]; }

std::size_t stack_guard_size() noexcept { return all().guard; }

std::size_t page_size() noexcept { return all().page; }

}  // namespace baton::sched
