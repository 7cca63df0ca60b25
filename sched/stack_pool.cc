// Stacks are cut from large mappings, one class to a mapping:
//
//   | guard 16 KiB | usable ... top | guard | usable ... top | ...
//
// A chunk keeps its place and size for ever; it is in use, in a P's cache, or in the depot of its class.
// Nothing is ever unmapped, so a pointer to a stack never points into something else. Address space is
// reserved only (MAP_NORESERVE), and pages come on touch.
//
// The depot is an array of values, not a list through the stacks: touching a free stack would commit a
// page of it. The array has room for every stack of the class before the stack is cut, so release()
// cannot fail.
//
// The table of mappings is append-only and published with a release store: the overflow handler walks
// it without a lock.
#include <baton/sched/stack_pool.h>

#include <baton/sched/sanitizer.h>
#include <baton/sched/stack_guard.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#if BATON_ASAN
#include <sanitizer/lsan_interface.h>
#endif

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

namespace baton::sched {

namespace {

namespace mo = platform::mo;

constexpr std::size_t page = 4096;
constexpr std::size_t mapping_size = std::size_t{64} << 20;
constexpr std::size_t mappings_max = 64 * 1024;  // 4 TiB of stacks
constexpr std::size_t cut_at_once = 64;          // chunks: one batch of guards
constexpr std::uint64_t sample_every = 16;       // released stacks
constexpr std::size_t shallow_pages = 4;         // a stack used no deeper than this is left as it is

struct mapping {
  std::byte* base;
  std::size_t size;
  std::uint32_t klass;
};
mapping table[mappings_max];
platform::atomic<std::size_t> table_size{0};

std::size_t smallest_class() noexcept {
  const std::size_t needed = ::getauxval(AT_MINSIGSTKSZ) + 8 * 1024;
  return std::max<std::size_t>(16 * 1024, (needed + page - 1) / page * page);
}

const std::size_t* class_sizes() noexcept {
  static const std::size_t sizes[stack_classes] = {smallest_class(), std::size_t{64} << 10, std::size_t{256} << 10,
                                                   std::size_t{1} << 20, std::size_t{8} << 20};
  return sizes;
}

std::size_t stride_of(std::size_t klass) noexcept { return stack_class_size(klass) + stack_guard::bytes; }

void* map(std::size_t size) noexcept {
  void* const p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK,
                         -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

// Whether pages below the top few are resident; then they are given back.
bool trim(const stack& s) noexcept {
  const std::size_t deep = s.size - shallow_pages * page;
  if (s.size <= shallow_pages * page) return false;
  unsigned char resident[256];
  std::byte* const from = s.limit() + (deep > sizeof resident * page ? deep - sizeof resident * page : 0);
  const std::size_t pages = std::min(deep / page, sizeof resident);
  if (::mincore(from, pages * page, resident) != 0) return false;
  if (std::none_of(resident, resident + pages, [](unsigned char r) { return (r & 1) != 0; })) return false;
  return ::madvise(s.limit(), deep, MADV_DONTNEED) == 0;
}

}  // namespace

std::size_t stack_class_size(std::size_t klass) noexcept { return class_sizes()[klass]; }

std::size_t stack_class_for(std::size_t size) noexcept {
  const std::size_t* const sizes = class_sizes();
  return static_cast<std::size_t>(std::lower_bound(sizes, sizes + stack_classes, size) - sizes);
}

stack_pool::stack_pool() noexcept = default;

stack_pool& stack_pool::instance() noexcept {
  alignas(stack_pool) static std::byte storage[sizeof(stack_pool)];
  static auto& pool = *new (storage) stack_pool;
  return pool;
}

std::size_t stack_pool::acquire(std::size_t klass, stack* out, std::size_t n) noexcept {
  const platform::lock_guard guard(lock_);
  depot& d = depots_[klass];
  if (d.count == 0 && !cut(klass, n)) return 0;
  n = std::min(n, d.count);
  for (std::size_t i = 0; i < n; ++i) out[i] = d.free[--d.count];
  return n;
}

void stack_pool::release(const stack* in, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
#if BATON_ASAN
    __asan_unpoison_memory_region(in[i].limit(), in[i].size);
#endif
    bool look = false;
    {
      const platform::lock_guard guard(lock_);
      look = ++released_ % sample_every == 0;
    }
    // Still ours alone: it is not in the depot yet.
    if (look && trim(in[i])) trimmed_.fetch_add(1, mo::relaxed);
  }
  const platform::lock_guard guard(lock_);
  for (std::size_t i = 0; i < n; ++i) {
    depot& d = depots_[in[i].klass];
    d.free[d.count++] = in[i];
  }
}

// Cuts chunks into the depot: enough for `wanted`, and a batch of guards at the least.
bool stack_pool::cut(std::size_t klass, std::size_t wanted) noexcept {
  depot& d = depots_[klass];
  const std::size_t stride = stride_of(klass);
  if (d.next_chunk == nullptr || d.next_chunk + stride > d.mapping_end) {
    if (!map_more(klass)) return false;
  }
  const auto left = static_cast<std::size_t>(d.mapping_end - d.next_chunk) / stride;
  // Large stacks are not cut ahead: each costs a system call to nobody's benefit.
  const std::size_t ahead = stack_class_size(klass) > (std::size_t{256} << 10) ? 1 : cut_at_once;
  const std::size_t n = std::min(left, std::max(wanted, ahead));
  if (!reserve(d, d.existing + n)) return false;
  stack_guard::install(d.next_chunk, stride, n);
  const auto size = static_cast<std::uint32_t>(stack_class_size(klass));
  for (std::size_t i = n; i-- > 0;) {
    d.free[d.count++] = {d.next_chunk + (i + 1) * stride, size, static_cast<std::uint32_t>(klass)};
  }
  d.next_chunk += n * stride;
  d.existing += n;
  stacks_.fetch_add(n, mo::relaxed);
  return true;
}

bool stack_pool::map_more(std::size_t klass) noexcept {
  const std::size_t stride = stride_of(klass);
  const std::size_t i = table_size.load(mo::relaxed);
  if (i == mappings_max) {
    errno = ENOMEM;
    return false;
  }
  // Whole chunks only; under a tight RLIMIT_AS, fewer of them.
  void* memory = nullptr;
  std::size_t chunks = mapping_size / stride;
  while ((memory = map(chunks * stride)) == nullptr) {
    if (chunks == 1) return false;
    chunks = std::max<std::size_t>(1, chunks / 4);
  }
  const std::size_t size = chunks * stride;
  ::madvise(memory, size, MADV_NOHUGEPAGE);  // a huge page would commit many stacks at the first touch
#if BATON_ASAN
  __lsan_register_root_region(memory, size);
#endif
  depot& d = depots_[klass];
  d.next_chunk = static_cast<std::byte*>(memory);
  d.mapping_end = d.next_chunk + size;
  table[i] = {d.next_chunk, size, static_cast<std::uint32_t>(klass)};
  table_size.store(i + 1, mo::release);  // pairs with find()
  bytes_.fetch_add(size, mo::relaxed);
  return true;
}

bool stack_pool::reserve(depot& d, std::size_t stacks) noexcept {
  if (stacks <= d.capacity) return true;
  const std::size_t capacity = std::max<std::size_t>(stacks, std::max<std::size_t>(1024, d.capacity * 2));
  void* const memory =
      d.free == nullptr
          ? ::mmap(nullptr, capacity * sizeof(stack), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
          : ::mremap(d.free, d.capacity * sizeof(stack), capacity * sizeof(stack), MREMAP_MAYMOVE);
  if (memory == MAP_FAILED) return false;
  d.free = static_cast<stack*>(memory);
  d.capacity = capacity;
  return true;
}

stack_pool::guard_kind stack_pool::guard() const noexcept { return stack_guard::kind(); }

void stack_pool::set_guard_for_test(guard_kind kind, std::uint64_t mprotect_budget) noexcept {
  const platform::lock_guard guard(lock_);
  stack_guard::set_for_test(kind, mprotect_budget);
}

stack_pool::counters stack_pool::read() const noexcept {
  return {stacks_.load(mo::relaxed), bytes_.load(mo::relaxed), table_size.load(mo::relaxed), stack_guard::failures(),
          trimmed_.load(mo::relaxed)};
}

namespace {

// The chunk that the address lies in, and where in it.
bool find(const void* address, stack* owner, std::size_t* offset) noexcept {
  const auto* const a = static_cast<const std::byte*>(address);
  const std::size_t n = table_size.load(mo::acquire);
  for (std::size_t i = 0; i < n; ++i) {
    const mapping& m = table[i];
    if (a < m.base || a >= m.base + m.size) continue;
    const std::size_t stride = stride_of(m.klass);
    const auto within = static_cast<std::size_t>(a - m.base);
    *offset = within % stride;
    *owner = {m.base + (within / stride + 1) * stride, static_cast<std::uint32_t>(stack_class_size(m.klass)), m.klass};
    return true;
  }
  return false;
}

}  // namespace

bool stack_pool::find_guard(const void* address, stack* owner) const noexcept {
  std::size_t offset = 0;
  return find(address, owner, &offset) && offset < stack_guard::bytes;
}

bool stack_pool::find_stack(const void* address, stack* owner) const noexcept {
  std::size_t offset = 0;
  return find(address, owner, &offset) && offset >= stack_guard::bytes;
}

}  // namespace baton::sched
