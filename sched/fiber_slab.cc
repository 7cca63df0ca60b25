// Chunks of 1,024 entries from mmap; a table of chunks that only grows; one free list under a lock. Ps take and give
// back many entries at a time, so the lock is cold.
#include <baton/sched/fiber_slab.h>

#include <baton/sched/platform/lock.h>

#include <sys/mman.h>
#include <new>

namespace baton::sched {

namespace {

namespace mo = platform::mo;

constexpr std::uint32_t chunk_entries = 1024;
constexpr std::uint32_t chunks_max = 64 * 1024;  // 67 million fibers: 17 GB of entries, beyond any use

platform::spin_lock slab_lock;
fiber* free_list ABSL_GUARDED_BY(slab_lock) = nullptr;
platform::atomic<fiber*> chunks[chunks_max];
platform::atomic<std::uint32_t> entries{0};

}  // namespace

fiber* allocate_fiber() noexcept {
  platform::lock_guard guard(slab_lock);
  if (free_list == nullptr) {
    const std::uint32_t n = entries.load(mo::relaxed);
    if (n / chunk_entries >= chunks_max) return nullptr;
    void* const memory = ::mmap(nullptr, chunk_entries * sizeof(fiber), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    auto* const chunk = static_cast<fiber*>(memory);
    for (std::uint32_t i = chunk_entries; i-- > 0;) {
      auto* const f = new (&chunk[i]) fiber;
      f->index = n + i;
      f->colour = static_cast<std::uint8_t>((n + i) % limits::stack_colours);
      f->next = free_list;
      free_list = f;
    }
    chunks[n / chunk_entries].store(chunk, mo::release);  // pairs with fiber_entry_at()
    entries.store(n + chunk_entries, mo::release);
  }
  fiber* const f = free_list;
  free_list = f->next;
  return f;
}

void free_fibers(fiber* first) noexcept {
  if (first == nullptr) return;
  fiber* last = first;
  while (last->next != nullptr) last = last->next;
  platform::lock_guard guard(slab_lock);
  last->next = free_list;
  free_list = first;
}

std::uint32_t fiber_entries() noexcept { return entries.load(mo::acquire); }

fiber* fiber_entry_at(std::uint32_t i) noexcept {
  return &chunks[i / chunk_entries].load(mo::acquire)[i % chunk_entries];
}

}  // namespace baton::sched
