// The errno value travels as a payload, in decimal, under baton's own type URL. How much was written travels under
// another. So both survive copying, annotating and code that knows only absl::Status.
#include <baton/sched/log/fatal.h>
#include <baton/syscall/status.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdint>
#include <cstring>
#include <string>

#include <absl/strings/cord.h>

namespace baton {
namespace {

constexpr absl::string_view errno_url = "baton.dev/errno";
constexpr absl::string_view written_url = "baton.dev/written";

// Returns 0 if there is none, or if it is not such a number.
std::uint64_t number_in(const absl::Status& status, absl::string_view url, std::uint64_t max) {
  if (status.ok()) return 0;
  const auto payload = status.GetPayload(url);
  if (!payload.has_value()) return 0;
  const std::string digits(*payload);
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return parsed.ec == std::errc() && value <= max ? value : 0;
}

// absl's table, except where it says that something exists, or does not exist, although the kernel said no such thing.
absl::StatusCode code_of(int err) {
  switch (err) {
    case EADDRNOTAVAIL: return absl::StatusCode::kUnavailable;  // no local address, or no free port now
    case EALREADY:                                              // it is being done already; nothing exists twice
    case ENXIO:                                                 // a FIFO without a reader, a socket opened as a file
    case ELOOP:  // too many symbolic links, or one where O_NOFOLLOW is set
      return absl::StatusCode::kFailedPrecondition;
    case ENODATA: return absl::StatusCode::kNotFound;          // no such attribute
    case EMSGSIZE: return absl::StatusCode::kInvalidArgument;  // more than the socket takes at once
    default: return absl::ErrnoToStatusCode(err);
  }
}

std::string name_of(int err) {
  const char* name = ::strerrorname_np(err);
  return name != nullptr ? std::string(name) : "errno " + std::to_string(err);
}

std::string text_of(int err) {
  const char* text = ::strerrordesc_np(err);  // untranslated, and without strerror's shared buffer
  return text != nullptr ? std::string(text) : "unknown error";
}

}  // namespace

int errno_of(const absl::Status& status) { return static_cast<int>(number_in(status, errno_url, INT_MAX)); }

std::size_t written_of(const absl::Status& status) {
  return static_cast<std::size_t>(number_in(status, written_url, SIZE_MAX));
}

absl::Status with_written(absl::Status status, std::size_t written) {
  if (written == 0) {
    status.ErasePayload(written_url);
  } else {
    status.SetPayload(written_url, absl::Cord(std::to_string(written)));
  }
  return status;
}

absl::Status status_from_errno(int err, std::string_view what) {
  if (err == 0) return absl::OkStatus();
  std::string message(what);
  if (!message.empty()) message += ": ";
  message += text_of(err) + " (" + name_of(err) + ")";
  absl::Status status(code_of(err), message);
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
