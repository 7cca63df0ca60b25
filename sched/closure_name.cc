#include <baton/sched/closure_name.h>

#include <baton/sched/fiber.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/peek_memory.h>
#include <baton/sched/spawn.h>
#include <baton/sched/unwind/stack_trace.h>

#include <cstring>

namespace baton::sched {

// "…text_of_closure() [with F = main()::<lambda()>]" (g++), "… [F = (lambda at a.cc:1:2)]" (clang).
std::string_view closure_in(std::string_view text) noexcept {
  constexpr std::string_view mark = "F = ";
  const std::size_t begin = text.find(mark);
  if (begin == std::string_view::npos) return text;
  text.remove_prefix(begin + mark.size());
  if (!text.empty() && text.back() == ']') text.remove_suffix(1);
  return text;
}

void closure_names::find(const fiber_start& start, std::uintptr_t pointer) noexcept {
  name_[0] = '\0';
  if (pointer != 0 && name_of_frame(reinterpret_cast<const void*>(pointer), name_)) return;
  if (start.closure == nullptr) {
    if (!name_of_frame(reinterpret_cast<const void*>(start.entry), name_)) name_[0] = '\0';
    return;
  }
  char text[512];
  platform::peek_window<64> window;
  const auto at = reinterpret_cast<std::uintptr_t>(start.closure);
  std::size_t n = 0;
  while (n < sizeof text && window.read(at + n, text[n]) && text[n] != '\0') ++n;
  const std::string_view name = closure_in({text, n});
  const std::size_t used = make_plain(name.substr(0, whole_characters(name, sizeof name_ - 4)), name_);
  if (used < name.size() && used + 4 <= sizeof name_) std::memcpy(name_ + used, "...", 4);
}

const char* closure_names::of(const fiber_start* start, const void* closure) noexcept {
  if (start == nullptr) return "";
  if (start == start_ && !pointer_may_differ_) return name_;
  fiber_start copy;
  std::uintptr_t pointer = 0;
  if (!platform::peek_memory(reinterpret_cast<std::uintptr_t>(start), &copy, sizeof copy)) return "";
  if (copy.calls_pointer && closure != nullptr &&
      !platform::peek_memory(reinterpret_cast<std::uintptr_t>(closure), &pointer, sizeof pointer)) {
    pointer = 0;
  }
  if (start != start_ || pointer != pointer_) find(copy, pointer);
  start_ = start;
  pointer_ = pointer;
  pointer_may_differ_ = copy.calls_pointer;
  return name_;
}

// A fiber that has ended has given its stack back, and with it the closure.
__attribute__((no_sanitize("thread"))) const char* closure_names::of(const fiber& f) noexcept {
  return of(f.start, f.join.load(platform::mo::relaxed) != join_ended ? f.closure : nullptr);
}

}  // namespace baton::sched
