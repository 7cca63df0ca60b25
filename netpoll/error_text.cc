#include <baton/netpoll/error_text.h>

#include <baton/syscall/status.h>

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

absl::Status failed_because(const absl::Status& reason, std::string_view operation, std::string_view object) {
  std::string what(operation);
  if (!object.empty()) what.append(" ").append(object);
  return status_for_reason(reason, what);
}

absl::Status not_open(std::string_view operation, std::string_view what) {
  return absl::FailedPreconditionError(describe(operation, what, "not open"));
}

}  // namespace baton::net
