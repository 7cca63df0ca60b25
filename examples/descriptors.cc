// Draws the open descriptors of a process: how each one may be used, what it is, and which of them belong together.
//
//   descriptors [pid]        default: this program itself
//
//    fd  use                  what
//     0  r                    /dev/null
//     1  rw                   /dev/pts/3             ---+
//     2  rw                   /dev/pts/3             ---+
//     3  r  cloexec           pipe:[8123]            <--+
//     4  rw cloexec           anon_inode:[eventpoll]    |
//     5   w cloexec nonblock  pipe:[8123]            >--+
//
// A line at the right joins descriptors of one object; < and > are the ends of a pipe. What is gone meanwhile is left
// out. It ends with 0, or with a sentence and 1 (no such process, no right).
#include <baton/baton.h>

#include "command_line.h"
#include "printable_text.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace sys = baton::sys;

struct descriptor {
  int fd;
  std::string what = {};  // the target of the link in /proc
  unsigned flags = 0;     // O_…
};

// Reads the directory by getdents. Its names are ".", ".." and numbers.
sys::result<std::vector<int>> numbers_in(int directory) {
  std::vector<int> numbers;
  alignas(std::uint64_t) std::byte room[16 * 1024];
  for (;;) {
    const auto n = sys::getdents(directory, room);
    if (!n) return sys::failure(n.error());
    if (*n == 0) break;  // the end
    std::uint16_t length = 0;
    for (std::size_t at = 0; at < *n; at += length) {
      // struct linux_dirent64: inode (8), offset (8), length of the entry (2), type (1), name
      std::memcpy(&length, &room[at + 16], sizeof length);
      const std::string_view name(reinterpret_cast<const char*>(&room[at + 19]));
      int fd = -1;
      if (std::from_chars(name.data(), name.data() + name.size(), fd).ec == std::errc()) numbers.push_back(fd);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

// Returns false if the descriptor is gone.
bool describe(int links, const std::string& process, descriptor& d) {
  std::string target(4096, '\0');
  const auto n = sys::readlinkat(links, std::to_string(d.fd), target);
  if (!n) return false;
  d.what = target.substr(0, *n);
  auto info = baton::file::open(process + "/fdinfo/" + std::to_string(d.fd));
  std::string text(1024, '\0');
  const std::size_t at = info.ok() && info->read(text).ok() ? text.find("flags:") : std::string::npos;
  if (at == std::string::npos) return false;
  d.flags = static_cast<unsigned>(std::strtoul(text.c_str() + at + 6, nullptr, 8));
  return true;
}

std::string use_of(unsigned flags) {
  const unsigned mode = flags & O_ACCMODE;
  std::string text = (flags & O_PATH) != 0 ? "path" : mode == O_RDONLY ? "r " : mode == O_WRONLY ? " w" : "rw";
  if ((flags & O_CLOEXEC) != 0) text += " cloexec";
  if ((flags & O_NONBLOCK) != 0) text += " nonblock";
  if ((flags & O_APPEND) != 0) text += " append";
  return text;
}

// The lines at the right: one lane for each object with several descriptors, from its first row to its last.
std::vector<std::string> lanes_of(const std::vector<descriptor>& rows) {
  std::map<std::string_view, std::vector<std::size_t>> objects;
  for (std::size_t i = 0; i < rows.size(); ++i) objects[rows[i].what].push_back(i);
  std::vector<std::string> lines(rows.size());
  std::vector<std::size_t> free_from;  // by lane: the first row that it does not use
  for (std::size_t first = 0; first < rows.size(); ++first) {
    const auto& at = objects[rows[first].what];
    if (at.size() < 2 || at.front() != first) continue;
    std::size_t lane = 0;
    while (lane < free_from.size() && free_from[lane] > first) ++lane;
    if (lane == free_from.size()) free_from.push_back(0);
    free_from[lane] = at.back() + 1;
    const std::size_t column = 3 + 3 * lane;
    for (std::size_t row = first; row <= at.back(); ++row) {
      const bool joins = std::binary_search(at.begin(), at.end(), row);
      std::string& line = lines[row];
      if (line.size() <= column) line.resize(column + 1, ' ');
      line[column] = joins ? '+' : '|';
      if (!joins) continue;
      for (std::size_t i = 0; i < column; ++i) line[i] = line[i] == ' ' ? '-' : line[i];
      if (rows[row].what.starts_with("pipe:")) line[0] = (rows[row].flags & O_ACCMODE) == O_WRONLY ? '>' : '<';
    }
  }
  return lines;
}

absl::Status draw(const std::string& process) {
  const auto opened = sys::open(process + "/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!opened) return opened.status("open " + process + "/fd");
  const sys::owned_fd links(*opened);
  const auto numbers = numbers_in(links.get());
  if (!numbers) return numbers.status("read directory " + process + "/fd");
  std::vector<descriptor> rows;
  for (const int fd : *numbers) {
    descriptor d{.fd = fd};
    if (process == "/proc/self" && fd == links.get()) continue;
    if (describe(links.get(), process, d)) rows.push_back(std::move(d));
  }
  const std::vector<std::string> lanes = lanes_of(rows);
  std::size_t width = 0;
  for (const descriptor& d : rows) width = std::max(width, std::min<std::size_t>(d.what.size(), 60));
  std::puts("   fd  use                  what");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::string line = examples::printable(rows[i].what, 60);
    if (!lanes[i].empty()) line.append(width - std::min(width, line.size()) + 1, ' ') += lanes[i];
    std::printf(" %4d  %-19s  %s\n", rows[i].fd, use_of(rows[i].flags).c_str(), line.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  long pid = 0;
  if (!examples::are_operands(argc, argv, 1) || (argc > 1 && !examples::read_number(argv[1], 1, 0x7fffffff, pid))) {
    return examples::misused("descriptors [pid]");
  }
  return examples::run("descriptors", [&] {
    const absl::Status end = draw(pid == 0 ? "/proc/self" : "/proc/" + std::to_string(pid));
    return end.ok() ? 0 : examples::failed("descriptors", end);
  });
}
