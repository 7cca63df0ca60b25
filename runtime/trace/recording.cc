#include <baton/runtime/trace/recording.h>

#include <baton/sched/trace/trace.h>

#include <absl/status/status.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

namespace baton::trace {

namespace {

using namespace sched::trace;

// The file's bytes, from the front.
class bytes_left {
 public:
  explicit bytes_left(std::string_view all) noexcept : left_(all) {}
  [[nodiscard]] std::size_t size() const noexcept { return left_.size(); }
  template <class T>
  [[nodiscard]] bool take(T& value) noexcept {
    if (left_.size() < sizeof value) return false;
    std::memcpy(&value, left_.data(), sizeof value);
    left_.remove_prefix(sizeof value);
    return true;
  }
  [[nodiscard]] bytes_left take_bytes(std::size_t n) noexcept {
    const std::string_view taken = left_.substr(0, n);
    left_.remove_prefix(taken.size());
    return bytes_left(taken);
  }
  [[nodiscard]] std::string rest() const { return std::string(left_); }

 private:
  std::string_view left_;
};

class reader {
 public:
  recording run(bytes_left file) {
    for (chunk_head h{}; file.take(h);) {
      if (file.size() < h.bytes) break;
      chunk_is(h.what, file.take_bytes(h.bytes));
    }
    put_in_order();
    join_names();
    return std::move(out_);
  }

 private:
  void chunk_is(chunk what, bytes_left body) {
    switch (what) {
      case chunk::events: events(body); break;
      case chunk::thread: thread(body); break;
      case chunk::site: name(body, out_.sites); break;
      case chunk::code: name(body, out_.code); break;
      case chunk::text: name(body, out_.texts); break;
      case chunk::clock: clock(body); break;
      case chunk::end: out_.complete = true; break;
    }
  }

  void events(bytes_left body) {
    events_head h{};
    if (!body.take(h)) return;
    out_.lost += h.lost;
    event e;
    while (body.take(e)) out_.events.push_back({{e}, h.ring, 0});
  }

  void thread(bytes_left body) {
    thread_note n{};
    if (body.take(n)) out_.threads[n.ring].push_back(n.tid);
  }

  static void name(bytes_left body, std::unordered_map<std::uint64_t, std::string>& names) {
    std::uint64_t key = 0;
    if (body.take(key)) names[key] = body.rest();
  }

  void clock(bytes_left body) {
    clock_note n{};
    if (body.take(n)) clocks_.push_back(n);
  }

  // The chunks of one ring are in order, those of different rings are not.
  void put_in_order() {
    std::stable_sort(out_.events.begin(), out_.events.end(),
                     [](const recorded& a, const recorded& b) { return a.ticks < b.ticks; });
    if (out_.events.empty() || clocks_.empty()) return;
    const clock_note& a = clocks_.front();
    const clock_note& b = clocks_.back();
    out_.began_realtime_ns = a.realtime_ns;
    const double ns_per_tick = b.ticks > a.ticks ? static_cast<double>(b.monotonic_ns - a.monotonic_ns) /
                                                       static_cast<double>(b.ticks - a.ticks)
                                                 : 1.0;
    const std::uint64_t first = out_.events.front().ticks;
    for (recorded& e : out_.events) {
      e.at_ns = static_cast<std::int64_t>(static_cast<double>(e.ticks - first) * ns_per_tick);
    }
  }

  void join_names() {
    for (const recorded& e : out_.events) {
      if (e.what != kind::name) continue;
      char piece[sizeof e.object + sizeof e.extra];
      std::memcpy(piece, &e.object, sizeof e.object);
      std::memcpy(piece + sizeof e.object, &e.extra, sizeof e.extra);
      std::string& whole = out_.fiber_names[e.subject];
      if (e.detail == 0) whole.clear();
      whole.append(piece, ::strnlen(piece, sizeof piece));
    }
  }

  recording out_;
  std::vector<clock_note> clocks_;
};

}  // namespace

std::string recording::fiber_label(std::uint64_t id) const {
  std::string label = std::to_string(id);
  const auto found = fiber_names.find(id);
  if (found != fiber_names.end()) label += " \"" + found->second + '"';
  return label;
}

std::string recording::site_name(std::uint64_t site) const {
  if (site == 0) return "a call that is known to block";
  const auto found = sites.find(site);
  return found != sites.end() ? found->second : "a call site without a name";
}

absl::StatusOr<recording> read_recording(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::ErrnoToStatus(errno, "open " + path);
  const std::string all{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) return absl::ErrnoToStatus(errno, "read " + path);
  bytes_left file(all);
  file_head h;
  const file_head wanted;
  if (!file.take(h) || std::memcmp(h.magic, wanted.magic, sizeof h.magic) != 0) {
    return absl::InvalidArgumentError("read " + path + ": not a trace of baton's");
  }
  if (h.version != wanted.version || h.byte_order != wanted.byte_order) {
    return absl::InvalidArgumentError("read " + path +
                                      ": a trace of another version, or of a machine with another byte order");
  }
  recording r = reader().run(file);
  r.pid = h.pid;
  return r;
}

}  // namespace baton::trace
