// Public API: baton::trace, which records what the scheduler does: fibers that start, wait, are readied and go on;
// calls into the kernel; each P that moves, and why.
//
//   baton::trace::start("server.btrace");   ... load ...   baton::trace::stop();
//   $ trace_stats server.btrace
//
// Off, it costs nothing. On, an event costs about 20 ns, a yield two events. Each thread writes to memory of its own
// (1 MiB); a thread of the recorder's writes that to the file, so the disk keeps no fiber waiting. If the disk is too
// slow, events are lost: stop() says how many. The environment variable BATON_TRACE=path records from the start of the
// runtime to exit().
//
// Thread safety: all may be called by any fiber or thread.
#pragma once

#include <absl/status/status.h>
#include <cstdint>
#include <string>
#include <string_view>

namespace baton::trace {

struct trace_options {
  // How many events of 32 bytes the memory of one thread holds; rounded up to a power of two, at least 1,024. The first
  // recording of a process decides. If a thread makes more events than that in some milliseconds, events are lost.
  std::uint32_t events_per_thread = 1U << 15;
};

// Begins to record into a file, which is replaced if it exists. Starts the runtime if it does not run. Blocks for some
// hundred microseconds.
// Errors: FAILED_PRECONDITION: a recording is under way. INVALID_ARGUMENT: the path does not end in .btrace, or has a
// NUL. RESOURCE_EXHAUSTED: no memory or no thread. Those of open(2).
absl::Status start(const std::string& path, trace_options options = {});

// Ends the recording, and completes the file. Blocks until it is written; other fibers run meanwhile.
// Errors: FAILED_PRECONDITION: there is no recording. DATA_LOSS: events were lost; the message says how many, and the
// file holds the others. Those of write(2): the file is not complete.
absl::Status stop();

// While an object of this class exists, the calling fiber is in a region of this name: pages and reports show it. It
// may switch meanwhile. Without a recording it costs one load. Up to 4,096 different names of up to 255 bytes are kept.
class region {
 public:
  explicit region(std::string_view name) noexcept;
  ~region();
  region(const region&) = delete;
  region& operator=(const region&) = delete;

 private:
  bool recorded_;
};

// Records that the calling fiber is here.
void instant(std::string_view name) noexcept;

}  // namespace baton::trace
