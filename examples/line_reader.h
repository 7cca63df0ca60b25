// Reads lines from any source of bytes.
//
//   examples::line_reader in([&](baton::bytes into) { return stream.read(into); }, 512);
//   for (std::string line; in.next(line);) …
//   if (!in.status().ok()) …      // the stream did not just end
#pragma once

#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

namespace examples {

class line_reader {
 public:
  using source = std::function<absl::StatusOr<std::size_t>(baton::bytes)>;  // 0: the end

  // No line may have more than `longest` bytes: a peer that never sends an end of line must not fill the memory.
  line_reader(source read, std::size_t longest) : read_(std::move(read)), longest_(longest) {}

  // Reads the next line, without its "\n" or "\r\n". An unfinished line at the end of the stream counts, too. Returns
  // false if there are no more lines; status() says why. Switches if the source does.
  bool next(std::string& line) {
    for (std::size_t searched = 0;;) {
      const std::size_t end = pending_.find('\n', searched);
      searched = pending_.size();
      if ((end == std::string::npos ? searched : end) > longest_) {
        status_ = absl::OutOfRangeError("a line has more than " + std::to_string(longest_) + " bytes");
        return false;
      }
      if (end != std::string::npos) {
        line.assign(pending_, 0, end);
        pending_.erase(0, end + 1);
        if (line.ends_with('\r')) line.pop_back();
        return true;
      }
      char buffer[4096];
      const auto n = read_(buffer);
      if (!n.ok()) status_ = n.status();
      if (!n.ok() || *n == 0) {
        line = std::exchange(pending_, {});
        return n.ok() && !line.empty();
      }
      pending_.append(buffer, *n);
    }
  }

  // Returns ok if the stream has ended, OUT_OF_RANGE if a line was too long, and otherwise the error of the source.
  [[nodiscard]] const absl::Status& status() const { return status_; }

 private:
  source read_;
  std::size_t longest_;
  std::string pending_;
  absl::Status status_;
};

}  // namespace examples
