// file_pool DIRECTORY [WORKERS]: reads all files below a directory in two ways, and shows what each of them takes.
//
//   plain reads   a fiber for each file opens and reads it by baton::file. What the page cache has is read at once. The
//                 kernel reads the rest, while the fiber is parked and no thread waits
//   pool          a fiber for each file calls the C library's open and read, which block their thread. A blocking_gate
//                 lets WORKERS (default: 8) of them in at once. This is the pool of threads that programs have for
//                 files where their runtime has nothing better
//
//   $ file_pool /usr/include
//   23773 files             files/s      MB/s  threads
//   cold    plain reads        7015      78.7        7
//           pool of 8         17568     197.1       16
//   cached  plain reads       41437     465.0        7
//           pool of 8         24895     279.3       11
//
// Cold: before, the kernel is asked to drop what it has of these files in its page cache. It keeps the directories, and
// what was written a moment ago. Threads: all of the process, also the main thread and the monitor, which run no fiber.
// Each line has a runtime of its own, so its threads are not those of the line before.
//
// Exit code 1, with a sentence: a file cannot be read, or there is none.
#include "command_line.h"

#include <baton/baton.h>

#include <fcntl.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace {

constexpr int open_at_once = 256;  // files, and so descriptors

using paths = std::vector<std::string>;
using size_read = absl::StatusOr<std::size_t>;
using reader = std::function<size_read(const std::string& path)>;

int find(const std::string& directory, paths& found) {
  absl::Status end = baton::walk_directory(directory, [&](const baton::walked_entry& e) {
    if (e.is_regular()) found.push_back(e.path);
  });
  if (end.ok() && found.empty()) end = absl::NotFoundError("there is no regular file below " + directory);
  return end.ok() ? 0 : examples::failed("file_pool", end);
}

size_read read_plainly(const std::string& path) {
  auto file = baton::file::open(path);
  if (!file.ok()) return file.status();
  return baton::discard(*file);
}

// Blocks its thread.
size_read read_blocking(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return baton::status_from_errno(errno, "open " + path);
  std::vector<char> buffer(std::size_t{64} * 1024);
  std::size_t total = 0;
  ssize_t n = 0;
  while ((n = ::read(fd, buffer.data(), buffer.size())) > 0) total += static_cast<std::size_t>(n);
  const int error = n < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) return baton::status_from_errno(error, "read " + path);
  return total;
}

void drop_from_page_cache(const paths& files) {
  for (const std::string& path : files) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

int threads_of_process() {
  const auto status = baton::read_file("/proc/self/status");
  const std::size_t at = status.ok() ? status->find("\nThreads:") : std::string::npos;
  return at == std::string::npos ? 0 : std::atoi(status->c_str() + at + 9);
}

// Reads the files and prints the second half of a line.
int measure(const paths& files, const reader& read) {
  std::atomic<std::size_t> bytes = 0;
  baton::task_group reads;
  reads.set_limit(open_at_once);
  const auto begin = std::chrono::steady_clock::now();
  for (const std::string& path : files) {
    reads.spawn([&]() -> absl::Status {
      const size_read n = read(path);
      if (n.ok()) bytes += *n;
      return n.status();
    });
  }
  if (absl::Status end = reads.wait(); !end.ok()) return examples::failed("file_pool", end);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%9.0f%10.1f%9d\n", static_cast<double>(files.size()) / took.count(),
              static_cast<double>(bytes) / 1e6 / took.count(), threads_of_process());  // those that idle stay a while
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  long workers = 8;
  if (argc < 2 || !examples::are_operands(argc, argv, 2) ||
      (argc > 2 && !examples::read_number(argv[2], 1, 1'000, workers))) {
    return examples::misused("file_pool DIRECTORY [WORKERS]");
  }
  baton::blocking_gate pool(static_cast<int>(workers));
  const std::string pool_name = "pool of " + std::to_string(workers);
  const reader read_in_pool = [&](const std::string& path) {
    return baton::blocking(pool, [&] { return read_blocking(path); });
  };

  paths files;
  int code = examples::run("file_pool", [&] { return find(argv[1], files); });
  if (code == 0)
    std::printf("%-22s%9s%10s%9s\n", (std::to_string(files.size()) + " files").c_str(), "files/s", "MB/s", "threads");
  for (int line = 0; line < 4 && code == 0; ++line) {
    const bool cold = line < 2, plain = line % 2 == 0;
    if (absl::Status end = baton::shutdown(); !end.ok()) return examples::failed("file_pool", end);
    if (cold) drop_from_page_cache(files);
    std::printf("%-8s%-14s", !plain ? "" : cold ? "cold" : "cached", plain ? "plain reads" : pool_name.c_str());
    std::fflush(stdout);
    code = examples::run("file_pool", [&] { return measure(files, plain ? reader(read_plainly) : read_in_pool); });
  }
  return code;
}
