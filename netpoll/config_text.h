// The system's configuration files as text: hosts, resolv.conf, nsswitch.conf. Internal to netpoll.
#pragma once

#include <sys/types.h>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace baton::net {

// Calls f(words) for each line that has words. A word ends at a space or tab. A '#' or ';' ends the line.
template <class F>
void for_each_line(std::string_view text, F&& f) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
    line = line.substr(0, line.find_first_of("#;"));
    words.clear();
    while (true) {
      const std::size_t begin = line.find_first_not_of(" \t\r\v\f");
      if (begin == std::string_view::npos) break;
      line.remove_prefix(begin);
      const std::string_view word = line.substr(0, line.find_first_of(" \t\r\v\f"));
      words.push_back(word);
      line.remove_prefix(word.size());
    }
    if (!words.empty()) f(std::as_const(words));
  }
}

// Tells one state of a file from another. A file that cannot be read has the stamp of none.
struct file_stamp {
  ::dev_t device = 0;
  ::ino_t inode = 0;
  ::off_t size = -1;
  std::int64_t modified_ns = 0;

  friend bool operator==(const file_stamp& a, const file_stamp& b) noexcept {
    return a.device == b.device && a.inode == b.inode && a.size == b.size && a.modified_ns == b.modified_ns;
  }
};

// These may switch: they are declared calls.
[[nodiscard]] file_stamp stamp_of(const std::string& path) noexcept;
// Returns the text of a file, "" if it cannot be read or is longer than 16 MiB. May throw std::bad_alloc.
[[nodiscard]] std::string text_of(const std::string& path);

}  // namespace baton::net
