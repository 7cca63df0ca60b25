// The errno value travels as a payload, in decimal, under a type URL of our own; so it survives
// copying, annotating and being passed through code that knows only absl::Status.
#include <baton/sched/fatal.h>
#include <baton/syscall/status.h>

#include <charconv>
#include <cstring>
#include <string>

#include <absl/strings/cord.h>

namespace baton {
namespace {

constexpr absl::string_view errno_url = "baton.dev/errno";

std::string name_of(int err) {
  const char* name = ::strerrorname_np(err);
  return name != nullptr ? std::string(name) : "errno " + std::to_string(err);
}

std::string text_of(int err) {
  const char* text = ::strerrordesc_np(err);  // untranslated, and without strerror's shared buffer
  return text != nullptr ? std::string(text) : "unknown error";
}

}  // namespace

int errno_of(const absl::Status& status) {
  if (status.ok()) return 0;
  const auto payload = status.GetPayload(errno_url);
  if (!payload.has_value()) return 0;
  const std::string digits(*payload);
  int err = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), err);
  return parsed.ec == std::errc() && err > 0 ? err : 0;
}

absl::Status status_from_errno(int err, std::string_view what) {
  if (err == 0) return absl::OkStatus();
  std::string message(what);
  if (!message.empty()) message += ": ";
  message += text_of(err) + " (" + name_of(err) + ")";
  absl::Status status(absl::ErrnoToStatusCode(err), message);
  status.SetPayload(errno_url, absl::Cord(std::to_string(err)));
  return status;
}

absl::Status status_for_reason(const absl::Status& reason, std::string_view what) {
  if (reason.ok()) return reason;
  std::string message(what);
  message += ": ";
  if (!reason.message().empty()) {
    message.append(reason.message().data(), reason.message().size());
  } else if (reason.code() == absl::StatusCode::kCancelled) {
    message += "cancelled";
  } else if (reason.code() == absl::StatusCode::kDeadlineExceeded) {
    message += "deadline exceeded";
  } else {
    message += absl::StatusCodeToString(reason.code());
  }
  absl::Status status(reason.code(), message);
  reason.ForEachPayload(
      [&status](absl::string_view type, const absl::Cord& payload) { status.SetPayload(type, payload); });
  return status;
}

namespace sys::detail {

void no_value(int err) noexcept {
  const char* name = ::strerrorname_np(err);
  const char* text = ::strerrordesc_np(err);
  sched::fatal("value() of a sys::result that holds error %d, %s (%s)", err, text != nullptr ? text : "unknown error",
               name != nullptr ? name : "no name");
}

void no_error_number(int err) noexcept { sched::fatal("a sys::failure made of %d, which is no errno value", err); }

}  // namespace sys::detail
}  // namespace baton
