// Finding: addresses are divided into windows of 64 MiB. A region is no larger than a window, so it lies in at most two
// windows, and is entered in a hash table under each of them. A lookup walks the entries from the slot of the address's
// window on, until an entry contains the address or a slot is empty.
//
// Publishing: a region's fields are written before its index is stored into a slot (release). Afterwards only `cut`
// changes. Entries are never removed, so a walk needs no lock.
//
// If a mapping fails, it is tried again with half the chunks, down to one. With RLIMIT_AS, or when memory is not
// overcommitted, the last stacks come in small mappings.
#include <baton/sched/stack/stack_region.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <algorithm>
#include <cerrno>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

namespace baton::sched {

namespace {
namespace mo = platform::mo;

std::uintptr_t window_of(const void* address) noexcept {
  return reinterpret_cast<std::uintptr_t>(address) / region_table::region_bytes;
}

// Neighbouring windows get slots that are far apart, so that runs of regions do not pile up.
std::size_t slot_of(std::uintptr_t window) noexcept {
  return static_cast<std::size_t>(window * std::uint64_t{0x9E37'79B9'7F4A'7C15} >> 48);
}

std::size_t header_bytes(std::size_t chunks) noexcept {
  return (chunks * sizeof(std::uint32_t) + page_size() - 1) / page_size() * page_size();
}

}  // namespace

stack_region* region_table::create(std::size_t klass) noexcept {
  const std::uint32_t index = count_.load(mo::relaxed);
  if (index == regions_max) {
    errno = ENOMEM;
    return nullptr;
  }
  const std::size_t usable = stack_class_size(klass);
  const std::size_t stride = usable + stack_guard_size();
  std::size_t chunks = region_bytes / stride;
  while (header_bytes(chunks) + chunks * stride > region_bytes) --chunks;
  std::size_t bytes = 0;
  void* base = MAP_FAILED;
  for (; chunks > 0; chunks /= 2) {
    bytes = header_bytes(chunks) + chunks * stride;
    base =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base != MAP_FAILED) break;
  }
  if (base == MAP_FAILED) return nullptr;
  // Both calls may fail on kernels built without these features; that does no harm. A huge page would commit 2 MiB for
  // a fiber that touches one page.
  const int saved_errno = errno;
  ::madvise(base, bytes, MADV_NOHUGEPAGE);
  ::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, base, bytes, "baton stacks");
  errno = saved_errno;

  stack_region& r = regions_[index];
  r.next = static_cast<std::uint32_t*>(base);
  r.chunks = static_cast<std::byte*>(base) + header_bytes(chunks);
  r.stride = static_cast<std::uint32_t>(stride);
  r.usable = static_cast<std::uint32_t>(usable);
  r.count = static_cast<std::uint32_t>(chunks);
  r.klass = static_cast<std::uint32_t>(klass);
  publish(r, index);
  count_.store(index + 1, mo::relaxed);
  bytes_.fetch_add(bytes, mo::relaxed);
  return &r;
}

void region_table::publish(const stack_region& r, std::uint32_t index) noexcept {
  const std::uintptr_t first = window_of(r.chunks);
  const std::uintptr_t last = window_of(r.chunk(r.count) - 1);
  for (std::uintptr_t window = first; window <= last; ++window) {
    std::size_t slot = slot_of(window);
    while (slots_[slot].load(mo::relaxed) != 0) slot = (slot + 1) % slots;
    // release: pairs with the acquire in find(), which then sees the region's fields.
    slots_[slot].store(index + 1, mo::release);
  }
}

const stack_region* region_table::find(const void* address, std::uint32_t* chunk) const noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  for (std::size_t slot = slot_of(window_of(address));; slot = (slot + 1) % slots) {
    const std::uint32_t entry = slots_[slot].load(mo::acquire);  // see publish()
    if (entry == 0) return nullptr;
    const stack_region& r = regions_[entry - 1];
    const auto base = reinterpret_cast<std::uintptr_t>(r.chunks);
    if (at < base || at - base >= std::size_t{r.count} * r.stride) continue;
    *chunk = static_cast<std::uint32_t>((at - base) / r.stride);
    return &r;
  }
}

}  // namespace baton::sched
