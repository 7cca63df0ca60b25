// The wait status travels in an absl::Status as a payload, in decimal, as errno does (syscall/status.cc).
#include <baton/runtime/exit_status.h>

#include <absl/strings/cord.h>
#include <charconv>
#include <string>
#include <system_error>
#include <utility>

namespace baton {

namespace {
constexpr absl::string_view exit_status_url = "baton.dev/exit-status";
}

std::optional<exit_status> exit_status_of(const absl::Status& status) {
  if (status.ok()) return std::nullopt;
  const auto payload = status.GetPayload(exit_status_url);
  if (!payload.has_value()) return std::nullopt;
  const std::string digits(*payload);
  int word = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), word);
  if (parsed.ec != std::errc()) return std::nullopt;
  return exit_status(word);
}

absl::Status detail::with_exit_status(absl::Status status, exit_status how) {
  status.SetPayload(exit_status_url, absl::Cord(std::to_string(how.word())));
  return status;
}

}  // namespace baton
