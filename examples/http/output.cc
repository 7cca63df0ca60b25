#include "http/output.h"

#include <algorithm>
#include <charconv>

namespace http {

output& output::operator<<(std::size_t number) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  text_.append(digits, end);
  return *this;
}

std::string_view output::date() {
  const std::time_t now = std::time(nullptr);  // reads a page that the kernel shares: a few nanoseconds
  if (now != date_of_) {
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    date_size_ = std::strftime(date_, sizeof date_, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    date_of_ = now;
  }
  return {date_, date_size_};
}

// Renews the deadline only when an eighth of it has passed: setting a deadline costs more than reading the clock.
void output::renew_deadline() {
  const auto now = clock::now();
  if (renewed_ && now - *renewed_ < patience_ / 8) return;
  stream_.set_write_deadline(now + patience_);
  renewed_ = now;
}

bool output::flush() {
  if (text_.empty() || failed_) return !failed_;
  renew_deadline();
  failed_ = !stream_.write(text_).ok();
  text_.clear();
  if (text_.capacity() > 4 * long_text) text_.shrink_to_fit();
  return !failed_;
}

bool output::send_file(const baton::file& file, off_t offset, std::size_t size) {
  constexpr std::size_t piece = 256 * 1024;  // each has a deadline of its own
  flush();
  for (std::size_t sent = 0; sent < size && !failed_;) {
    renew_deadline();
    const auto n = stream_.send_file(file, offset + static_cast<off_t>(sent), std::min(piece, size - sent));
    failed_ = !n.ok() || *n == 0;
    if (!failed_) sent += *n;
  }
  return !failed_;
}

}  // namespace http
