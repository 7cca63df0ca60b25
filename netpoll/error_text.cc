#include <baton/netpoll/error_text.h>

#include <baton/syscall/status.h>

#include <absl/strings/cord.h>
#include <absl/strings/string_view.h>

#include <string>

namespace baton::net {

std::string describe(std::string_view operation, std::string_view object, std::string_view reason) {
  std::string text;
  text.reserve(operation.size() + object.size() + reason.size() + 3);
  text.append(operation);
  if (!object.empty()) text.append(" ").append(object);
  return text.append(": ").append(reason);
}

absl::Status errno_status(int error, std::string_view operation, std::string_view object) {
  std::string what(operation);
  if (!object.empty()) what.append(" ").append(object);
  return status_from_errno(error, what);
}

absl::Status context_status(const absl::Status& why, std::string_view operation, std::string_view object) {
  const absl::StatusCode code = why.ok() ? absl::StatusCode::kCancelled : why.code();
  std::string_view reason(why.message().data(), why.message().size());
  if (reason.empty()) reason = code == absl::StatusCode::kDeadlineExceeded ? "deadline exceeded" : "cancelled";
  absl::Status status(code, describe(operation, object, reason));
  why.ForEachPayload([&status](absl::string_view url, const absl::Cord& value) { status.SetPayload(url, value); });
  return status;
}

absl::Status not_open(std::string_view operation, std::string_view what) {
  return absl::FailedPreconditionError(describe(operation, what, "not open"));
}

}  // namespace baton::net
