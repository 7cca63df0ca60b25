// What a connection sends. Text is collected, so that responses that are ready together leave in one write.
#pragma once

#include "http/peer.h"

#include <baton/baton.h>

#include <chrono>
#include <cstddef>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace http {

// Used by one fiber. After a send has failed, nothing more is sent, and failed() returns true.
class output {
 public:
  // A write fails when the peer has taken nothing for about `patience`.
  output(peer& stream, std::chrono::milliseconds patience) : stream_(stream), patience_(patience) {}

  output& operator<<(std::string_view text) {
    text_.append(text);
    return *this;
  }
  output& operator<<(std::size_t number);

  // Returns "Date: ...\r\n".
  [[nodiscard]] std::string_view date();

  // Sends the text. Returns false if that failed. Switches.
  bool flush();
  // As flush(), but only if the text has become long, so that pipelined requests cannot make it grow without limit.
  // Switches.
  bool flush_if_long() { return text_.size() < long_text || flush(); }
  // Sends the text, then `size` bytes of the file from `offset` on, which over TCP are not copied through the process.
  // Returns false if that failed, perhaps halfway (as when the file has become shorter): the caller can only close
  // then. Switches.
  bool send_file(const baton::file& file, off_t offset, std::size_t size);

  [[nodiscard]] bool failed() const { return failed_; }

  static constexpr std::size_t long_text = 64 * 1024;

 private:
  using clock = std::chrono::steady_clock;

  void renew_deadline();

  peer& stream_;
  std::chrono::milliseconds patience_;
  std::optional<clock::time_point> renewed_;  // the write deadline
  std::string text_;
  bool failed_ = false;

  std::time_t date_of_ = -1;
  std::size_t date_size_ = 0;
  char date_[64];
};

}  // namespace http
