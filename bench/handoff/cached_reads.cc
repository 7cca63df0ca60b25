// Reads of a file that lies in the page cache: no device is waited for, so threads are of no use.
//
//   cached_reads file=PATH fibers=N procs=P ms=M segments=S
//     N fibers read 4 KiB each at random places of the file, as fast as they can, with the means that the runtime has
//     for files; for M ms. In turns with P bare threads that do the same by pread().
//   prints
//     reads_per_s, bare_per_s   in thousands
//     share                     the first by the second, in percent
//     threads                   of the process at the end, without the bare ones
#include "scenarios.h"

#include <baton/baton.h>

#include <fcntl.h>
#include <unistd.h>
#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

namespace handoff {

namespace {

constexpr std::size_t block_size = 4'096;

// Numbers of blocks, at random.
class places {
 public:
  places(std::uint32_t seed, off_t file_size)
      : dice_(seed * 2'654'435'761U + 1), blocks_(static_cast<std::size_t>(file_size) / block_size) {}
  off_t next() noexcept {
    dice_ = dice_ * 1'664'525U + 1'013'904'223U;
    return static_cast<off_t>((dice_ >> 8) % blocks_ * block_size);
  }

 private:
  std::uint32_t dice_;
  std::size_t blocks_;
};

double thousands_per_s(std::int64_t reads, std::int64_t ns) {
  return static_cast<double>(reads) * 1e6 / static_cast<double>(ns);
}

int threads_of_process() {
  std::ifstream in("/proc/self/status");
  const std::string key = "Threads:";
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, key.size(), key) == 0) return std::atoi(line.c_str() + key.size());
  }
  return 0;
}

double bare_reads(int threads, int fd, off_t size, std::int64_t length) {
  std::atomic<std::int64_t> reads{0};
  std::vector<std::thread> all;
  const std::int64_t begin = now_ns();
  for (int i = 0; i < threads; ++i) {
    all.emplace_back([&, i] {
      places where(static_cast<std::uint32_t>(i), size);
      char buffer[block_size];
      std::int64_t mine = 0;
      for (; now_ns() - begin < length; ++mine) {
        if (::pread(fd, buffer, sizeof buffer, where.next()) != block_size) die("cannot read");
      }
      reads += mine;
    });
  }
  for (std::thread& t : all) t.join();
  return thousands_per_s(reads, now_ns() - begin);
}

double fibers_read(int fibers, baton::file& file, off_t size, std::int64_t length) {
  std::atomic<std::int64_t> reads{0};
  std::vector<baton::fiber<void>> all;
  const std::int64_t begin = now_ns();
  for (int i = 0; i < fibers; ++i) {
    all.push_back(baton::spawn([&, i] {
      places where(static_cast<std::uint32_t>(i), size);
      std::byte buffer[block_size];
      std::int64_t mine = 0;
      for (; now_ns() - begin < length; ++mine) {
        const auto n = file.read_at(buffer, where.next());
        if (!n.ok() || *n != block_size) die("cannot read");
      }
      reads += mine;
    }));
  }
  for (auto& fiber : all) fiber.join();
  return thousands_per_s(reads, now_ns() - begin);
}

}  // namespace

void cached_reads(const arguments& a, report& out) {
  const int fibers = a.number("fibers", 64);
  const int procs = a.number("procs", 2);
  const std::int64_t length = a.number("ms", 300) * ms;
  baton::run(
      [&] {
        auto file = baton::file::open(a.text("file"));
        if (!file.ok()) die("cannot open the file");
        const off_t size = file->stat()->st_size;
        bare_reads(procs, file->native_handle(), size, 50 * ms);
        for (int i = 0; i < a.number("segments", 2); ++i) {
          const double ours = fibers_read(fibers, *file, size, length);
          out.add("threads", threads_of_process());
          const double bare = bare_reads(procs, file->native_handle(), size, length);
          out.add("reads_per_s", ours);
          out.add("bare_per_s", bare);
          out.add("share", 100 * ours / bare);
        }
      },
      {.procs = procs});
}

}  // namespace handoff
