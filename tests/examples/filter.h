// A program that reads stdin and writes stdout, as a process of its own.
#pragma once

#include "child_process.h"

#include <unistd.h>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace baton_test {

class filter : public child_process {
 public:
  filter(const std::string& name, std::vector<std::string> args, const std::function<void()>& prepare = {})
      : child_process(name, std::move(args), role::filter, prepare) {}

  // Requires: the caller ignores or blocks SIGPIPE, so that a program that has ended does not kill the test.
  void write(const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(in_, text.data() + done, text.size() - done);
      if (n <= 0) return;
      done += static_cast<std::size_t>(n);
    }
  }

  // Returns the next line without its end, or an empty text at the end of the output.
  std::string read_line() {
    while (text_.find('\n') == std::string::npos) {
      if (!read_more()) return std::exchange(text_, {});
    }
    const std::size_t end = text_.find('\n');
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }
  std::string rest() {
    while (read_more()) {
    }
    return std::exchange(text_, {});
  }
};

}  // namespace baton_test
