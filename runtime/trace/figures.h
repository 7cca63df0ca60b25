// What a recording says in numbers. Internal to the tools.
#pragma once

#include <baton/runtime/trace/recording.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace baton::trace {

// Durations, in buckets of powers of two of nanoseconds, and the ten longest.
class distribution {
 public:
  struct one {
    std::int64_t ns = 0;
    std::int64_t at_ns = 0;  // when it began
    std::uint64_t fiber = 0;
    std::string what;  // about which fiber or P
  };
  void add(one o);
  [[nodiscard]] std::size_t count() const noexcept { return all_.size(); }
  // share: 0 to 1. Requires: count() > 0.
  [[nodiscard]] std::int64_t percentile(double share) const;
  [[nodiscard]] const std::vector<one>& longest() const noexcept { return longest_; }
  [[nodiscard]] const std::array<std::size_t, 64>& buckets() const noexcept { return buckets_; }

 private:
  mutable std::vector<std::int64_t> all_;
  mutable bool sorted_ = false;
  std::array<std::size_t, 64> buckets_{};
  std::vector<one> longest_;  // the longest first
};

struct site_figures {
  std::size_t calls = 0, handed_over = 0, lost = 0;
  distribution took;
};

struct figures {
  std::map<std::string, std::size_t> events;     // how many of each kind
  std::map<std::string, distribution> handoffs;  // by cause: from the M that gives a P up to the fiber that runs on it
  std::map<std::string, distribution> waits;     // by reason: from park to ready
  distribution ready_to_run;                     // how long a fiber that could run waited for a P
  distribution return_to_run;                    // the same, at the end of a call
  std::map<std::string, site_figures> sites;
  std::int64_t span_ns = 0;
};

[[nodiscard]] figures figures_of(const recording& r);
// The same as text: a table of events, histograms with bars, the ten longest of each.
[[nodiscard]] std::string to_text(const recording& r, const figures& f);

[[nodiscard]] const char* name_of(sched::trace::kind what) noexcept;
// Of an event `P left` or `P revoked` with this detail.
[[nodiscard]] const char* cause_of_leaving(std::uint8_t detail) noexcept;
[[nodiscard]] const char* cause_of_revoking(std::uint8_t detail) noexcept;

}  // namespace baton::trace
