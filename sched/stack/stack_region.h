// The mappings that stacks are cut from, and the way from an address back to its stack.
//
//   base            chunks
//    | next, ...    | guard | usable      | guard | usable      | ...
//    | (header)     |<----- stride ------>|
//
// The header holds the depot's links, one per chunk: a write to a free stack would cost a page. Regions are never
// unmapped and their chunks are never recut, so an answer stays true.
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/sched/stack/stack.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

struct stack_region {
  std::byte* chunks = nullptr;    // the first chunk, which begins with its guard
  std::uint32_t* next = nullptr;  // links of free chunks, `count` of them; guarded by the class's lock
  std::uint32_t stride = 0;       // guard and usable bytes
  std::uint32_t usable = 0;
  std::uint32_t count = 0;  // chunks
  std::uint32_t klass = 0;
  platform::atomic<std::uint32_t> cut{0};  // the chunks below it are guarded, and are in use or in the depot

  [[nodiscard]] std::byte* chunk(std::uint32_t i) const noexcept { return chunks + std::size_t{i} * stride; }
  [[nodiscard]] stack stack_of(std::uint32_t i) const noexcept { return {chunk(i) + stride, usable, klass}; }
};

// The number of a chunk among those of all regions, never 0.
using chunk_id = std::uint32_t;
inline constexpr chunk_id no_chunk = 0;

// Thread safety: only one thread at a time may call create(). Any thread may call the other functions at any time, also
// in a signal handler: they do not lock or allocate.
class region_table {
 public:
  // 64 MiB each: 1 TiB of stacks, and some 1,300 of them hold a million stacks of 64 KiB.
  static constexpr std::size_t regions_max = 16'384;
  static constexpr std::size_t region_bytes = std::size_t{64} << 20;

  // Makes a new mapping for stacks of the class, or a smaller one if 64 MiB cannot be had. Returns null, with errno
  // set, if that fails.
  [[nodiscard]] stack_region* create(std::size_t klass) noexcept;

  // Returns the region that the address lies in, guards included, and sets *chunk. Returns null if it lies in none.
  [[nodiscard]] const stack_region* find(const void* address, std::uint32_t* chunk) const noexcept;

  [[nodiscard]] chunk_id id_of(const stack_region& r, std::uint32_t chunk) const noexcept {
    return static_cast<chunk_id>(&r - regions_ + 1) << chunk_bits | chunk;
  }
  [[nodiscard]] const stack_region& region_of(chunk_id id) const noexcept { return regions_[(id >> chunk_bits) - 1]; }
  // The region that was created as number i, from 0. Requires: the caller knows that there are more than i.
  [[nodiscard]] const stack_region& at(std::size_t i) const noexcept { return regions_[i]; }
  [[nodiscard]] static std::uint32_t chunk_of(chunk_id id) noexcept { return id & ((1U << chunk_bits) - 1); }

  [[nodiscard]] std::uint64_t mappings() const noexcept { return count_.load(platform::mo::relaxed); }
  [[nodiscard]] std::uint64_t bytes_mapped() const noexcept { return bytes_.load(platform::mo::relaxed); }

 private:
  static constexpr unsigned chunk_bits = 12;                  // 2,047 chunks of 16 + 16 KiB at most
  static constexpr std::size_t slots = std::size_t{1} << 16;  // a region takes two: at most half full

  void publish(const stack_region& r, std::uint32_t index) noexcept;

  stack_region regions_[regions_max];
  // Open addressing, keyed by address / region_bytes. A value is a region's index + 1.
  platform::atomic<std::uint32_t> slots_[slots] = {};
  platform::atomic<std::uint32_t> count_{0};
  platform::atomic<std::uint64_t> bytes_{0};
};

}  // namespace baton::sched
