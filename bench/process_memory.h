// What this process holds, as /proc/self/status says: pages, and the page tables that map them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace bench {

// A line of /proc/self/status, in bytes.
inline std::int64_t status_bytes(std::string_view key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, key.size(), key) == 0 && line[key.size()] == ':') {
      return std::strtoll(line.c_str() + key.size() + 1, nullptr, 10) * 1024;
    }
  }
  return 0;
}

struct process_memory {
  std::int64_t rss = status_bytes("VmRSS");
  std::int64_t page_tables = status_bytes("VmPTE");
  [[nodiscard]] std::int64_t total() const { return rss + page_tables; }
};

}  // namespace bench
