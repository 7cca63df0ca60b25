// A trace that has been read from its file: the events of all threads in one order, and the names. Internal to the
// tools and the exporters; users include <baton/runtime/trace.h>.
#pragma once

#include <baton/sched/trace/event.h>
#include <baton/sched/trace/file_format.h>

#include <absl/status/statusor.h>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace baton::trace {

struct recorded : sched::trace::event {
  std::uint32_t ring = 0;  // whose: an M's index, ring_of_monitor or ring_of_others
  std::int64_t at_ns = 0;  // since the first event
};

struct recording {
  std::vector<recorded> events;  // by time
  std::uint64_t lost = 0;        // events that were overwritten before they were written to the file
  bool complete = false;         // the recording was ended in order
  std::uint64_t pid = 0;
  std::int64_t began_realtime_ns = 0;
  std::map<std::uint32_t, std::vector<std::int32_t>> threads;  // of each ring, the latest last
  std::unordered_map<std::uint64_t, std::string> sites, code, texts;
  std::unordered_map<std::uint64_t, std::string> fiber_names;  // of those that have one

  // Returns `17 "accept"` or `17`.
  [[nodiscard]] std::string fiber_label(std::uint64_t id) const;
  [[nodiscard]] std::string site_name(std::uint64_t site) const;
};

// Reads a *.btrace file. Blocks. Errors: those of opening and reading; INVALID_ARGUMENT: not such a file, or of another
// version or byte order. A file that ends in the middle of a chunk is read up to there, and is not `complete`.
[[nodiscard]] absl::StatusOr<recording> read_recording(const std::string& path);

}  // namespace baton::trace
