#include <baton/runtime/trace.h>

#include <baton/sched/lifecycle.h>
#include <baton/sched/spawn.h>
#include <baton/sched/trace/collector.h>
#include <baton/sched/trace/trace.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/c_string.h>

#include <algorithm>
#include <bit>
#include <cerrno>

namespace baton::trace {

namespace {

absl::Status under_way(const std::string& path) {
  return absl::FailedPreconditionError("record a trace into " + path + ": a recording is under way");
}

void record(sched::trace::kind what, std::string_view name) noexcept {
  const std::uint32_t number = name.empty() ? 0 : sched::trace::number_of_text(name.data(), name.size());
  sched::trace::record_here({.what = what, .subject = sched::current_fiber_id(), .extra = number}, nullptr);
}

}  // namespace

absl::Status start(const std::string& path, trace_options options) {
  const sys::c_string as_c(path);
  if (as_c.error() != 0) return absl::InvalidArgumentError("record a trace: the path has a NUL inside");
  if (!path.ends_with(".btrace")) {
    return absl::InvalidArgumentError("record a trace into " + path + ": the name does not end in .btrace");
  }
  if (sched::trace::collector_threads() != 0) return under_way(path);
  if (!sched::is_running()) sched::start(sched::settings{});
  const std::uint32_t events = std::bit_ceil(std::clamp<std::uint32_t>(options.events_per_thread, 1U << 10, 1U << 24));
  const int error = blocking([&] {
    const int fd = sched::trace::open_trace(as_c.get());
    return fd < 0 ? fd : sched::trace::collect_to(fd, events);
  });
  if (error == 0) return absl::OkStatus();
  if (error == EBUSY) return under_way(path);
  if (error < 0) return absl::ErrnoToStatus(-error, "record a trace: open " + path);
  return absl::ResourceExhaustedError("record a trace into " + path + ": no memory, or no thread for the recorder");
}

absl::Status stop() {
  const sched::trace::collected c = blocking([] { return sched::trace::end_collecting(); });
  if (!c.was_on) return absl::FailedPreconditionError("end a trace: there is no recording");
  if (c.error != 0) return absl::ErrnoToStatus(c.error, "write a trace");
  if (c.lost != 0) {
    return absl::DataLossError("record a trace: " + std::to_string(c.lost) + " events of " +
                               std::to_string(c.lost + c.events) + " were lost");
  }
  return absl::OkStatus();
}

region::region(std::string_view name) noexcept : recorded_(sched::trace::on()) {
  if (recorded_) record(sched::trace::kind::region_begin, name);
}

region::~region() {
  if (recorded_) record(sched::trace::kind::region_end, {});
}

void instant(std::string_view name) noexcept {
  if (sched::trace::on()) record(sched::trace::kind::instant, name);
}

}  // namespace baton::trace
