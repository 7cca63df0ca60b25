// What is known of one place in the program that makes calls which may block: whether it pays to hand the P over at
// once. The syscall layer asks and teaches; statistics and dumps read.
//
// The score saturates: a long call raises it by two, a short one lowers it by one. From `threshold` on the site is
// expected to block. Each `blocking` closure and each typed call is a static site of its own. While such a site is
// unknown it hands its P over: it may do so once for nothing, rather than keep all other fibers waiting once. A bare
// enter_syscall is known by its return address. There an unknown site keeps its P: that pair is for callers that count
// nanoseconds, and the monitor is there for the first long call. A foreign call (declared_call.h) is known by its
// return address, too, but its unknown site hands the P over.
//
// These calls are timed (two reads of the cycle counter): every call of a site that is expected to block, every call of
// a closure or a typed call whose site is unknown, and one in 64 of the other calls without a hint. A call whose P the
// monitor had to take counts as a long one, at once. The score is written only when it changes, and the history only
// when a call was timed or its P was taken, because sites are shared. The history, and a copy of the name, belong to
// the runtime: a site goes with its module, if the module is unloaded. Sites known by an address belong to it, too.
#pragma once

#include <baton/sched/limits.h>
#include <baton/sched/platform/atomic.h>

#include <cstddef>
#include <cstdint>

namespace baton::sched {

class alignas(64) call_site {
 public:
  enum class verdict : std::uint8_t { unknown, blocks, is_short };

  // name: a literal, which names the site in reports; reports keep a copy.
  constexpr explicit call_site(const char* name) noexcept : name_(name) {}
  // The site of the system call with this number.
  constexpr explicit call_site(long system_call) noexcept : system_call_(system_call) {}
  // For the table of return addresses.
  constexpr call_site() noexcept = default;
  call_site(const call_site&) = delete;
  call_site& operator=(const call_site&) = delete;

  [[nodiscard]] bool blocks() const noexcept {
    const std::uint32_t s = score_.load(platform::mo::relaxed);
    return s >= threshold && s != never_seen;
  }
  [[nodiscard]] verdict expect() const noexcept { return verdict_of(score_.load(platform::mo::relaxed)); }
  // Learns from a call that was timed. from: an address in the code that made the call.
  void learn(bool was_long, bool handed_over, const void* from) noexcept;
  // The monitor calls this when it has just taken the P of a call that goes on: the next call should not wait for the
  // monitor, too.
  void was_retaken() noexcept;

  // Writes the name of the site that is, or was, at this address, as reports show it. Returns its length. The module
  // that the site is in may be gone.
  static std::size_t name_at(std::uintptr_t address, char (&to)[256]) noexcept;

  // The site of a bare enter_syscall that returns to `address`.
  [[nodiscard]] static call_site& at(void* address) noexcept;
  // The site of a call of the C library's function `name`, a literal, that returns to `address`.
  [[nodiscard]] static call_site& at(void* address, const char* name) noexcept;

  struct history {
    const char* name = nullptr;     // null: see the other fields; stays valid
    const void* address = nullptr;  // of a bare enter_syscall or a function: its place; else in the calling code
    long system_call = -1;
    verdict expected = verdict::unknown;
    std::uint64_t handed_over = 0;  // calls that gave their P away at entry
    std::uint64_t retaken = 0;      // calls whose P the monitor took
    std::uint64_t timed_long = 0;   // of the calls that were timed or retaken
    std::uint64_t timed_short = 0;
  };
  // Calls visit(history, arg) for each site that has learnt anything, the latest first.
  static void for_each(void (*visit)(const history& h, void* arg), void* arg);

 private:
  static constexpr std::uint32_t threshold = 4;
  static constexpr std::uint32_t top = 7;
  static constexpr std::uint32_t never_seen = 255;

  struct record;

  [[nodiscard]] static constexpr verdict verdict_of(std::uint32_t score) noexcept {
    if (score == never_seen) return verdict::unknown;
    return score >= threshold ? verdict::blocks : verdict::is_short;
  }
  [[nodiscard]] static call_site& find(void* address) noexcept;
  record* learnt(bool was_long) noexcept;
  record* make_record() noexcept;

  static platform::atomic<record*> records;  // all of them, the latest first

  platform::atomic<void*> address_{nullptr};  // the address of a place in the table
  platform::atomic<std::uint32_t> score_{never_seen};
  platform::atomic<record*> record_{nullptr};  // its history, once it has learnt anything
  // relaxed: a literal, and written before the site is published, or by any of those that call the same function there.
  platform::atomic<const char*> name_{nullptr};
  long system_call_ = -1;
};

// The table of return addresses: 1,024 places, for the places at which a program declares calls by hand. The places
// that do not fit share one site.
inline constexpr std::size_t call_site_places = 1024;
extern call_site call_site_table[call_site_places];

inline call_site& call_site::at(void* address) noexcept {
  const auto bits = reinterpret_cast<std::uintptr_t>(address);
  call_site& s = call_site_table[(bits ^ bits >> 10) % call_site_places];
  // relaxed: an address is written once, and says nothing of other data.
  if (__builtin_expect(s.address_.load(platform::mo::relaxed) == address, 1)) return s;
  return find(address);
}

inline call_site& call_site::at(void* address, const char* name) noexcept {
  call_site& s = at(address);
  if (__builtin_expect(s.name_.load(platform::mo::relaxed) == nullptr, 0)) s.name_.store(name, platform::mo::relaxed);
  return s;
}

}  // namespace baton::sched
