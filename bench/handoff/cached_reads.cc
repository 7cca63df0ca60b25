// Reads of a file that lies in the page cache: no device is waited for, so threads are of no use.
//
//   cached_reads file=PATH fibers=N procs=P ms=M segments=S
//     N fibers read 4 KiB each at random places of the file, as fast as they can, with the means that the runtime has
//     for files; for 300 ms, which do not count, and then S times for M ms. In turns with P bare threads that do the
//     same by pread().
//   prints
//     reads_per_s, bare_per_s   in thousands
//     share                     the first by the second, in percent
//     cpu_ns, bare_cpu_ns       CPU time of the process for each read
//     cpu_share                 reads in as much CPU time, in percent: what other work on the machine changes less
//     threads                   of the process at the end, without the bare ones
//     machines                  of these, the ones that run fibers, or may
//     rescued                   of 100 time slices, how many ended because the reader's P was taken from it: the others
//                               ended when it looked
#include "../process_threads.h"
#include "scenarios.h"

#include <baton/baton.h>

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
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

struct pace {
  double per_ms;
  double cpu_ns;  // for each
};

// Since the construction.
class stopwatch {
 public:
  [[nodiscard]] bool passed(std::int64_t ns) const noexcept { return now_ns() - begin_ >= ns; }
  [[nodiscard]] pace pace_of(std::int64_t reads) const noexcept {
    const auto cpu = static_cast<double>(read_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin_);
    const auto n = static_cast<double>(reads);
    return {n * 1e6 / static_cast<double>(now_ns() - begin_), cpu / n};
  }

 private:
  std::int64_t cpu_begin_ = read_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  std::int64_t begin_ = now_ns();
};

pace bare_reads(int threads, int fd, off_t size, std::int64_t length) {
  std::atomic<std::int64_t> reads{0};
  std::vector<std::thread> all;
  const stopwatch watch;
  for (int i = 0; i < threads; ++i) {
    all.emplace_back([&, i] {
      places where(static_cast<std::uint32_t>(i), size);
      char buffer[block_size];
      std::int64_t mine = 0;
      for (; !watch.passed(length); ++mine) {
        if (::pread(fd, buffer, sizeof buffer, where.next()) != block_size) die("cannot read");
      }
      reads += mine;
    });
  }
  for (std::thread& t : all) t.join();
  return watch.pace_of(reads);
}

pace fibers_read(int fibers, baton::file& file, off_t size, std::int64_t length) {
  std::atomic<std::int64_t> reads{0};
  std::vector<baton::fiber<void>> all;
  const stopwatch watch;
  for (int i = 0; i < fibers; ++i) {
    all.push_back(baton::spawn([&, i] {
      places where(static_cast<std::uint32_t>(i), size);
      std::byte buffer[block_size];
      std::int64_t mine = 0;
      for (; !watch.passed(length); ++mine) {
        const auto n = file.read_at(buffer, where.next());
        if (!n.ok() || *n != block_size) die("cannot read");
      }
      reads += mine;
    }));
  }
  for (auto& fiber : all) fiber.join();
  return watch.pace_of(reads);
}

}  // namespace

void cached_reads(const arguments& a, report& out) {
  const int fibers = a.number("fibers", 64);
  const int procs = a.number("procs", 2);
  const std::int64_t length = a.number("ms", 300) * ms;
  // The bare threads are waited for by a plain thread: a fiber that joined them would block its own undeclared, and
  // the runtime would start one more.
  auto file = baton::file::open(a.text("file"));
  if (!file.ok()) die("cannot open the file");
  const off_t size = file->stat()->st_size;
  const std::int64_t warm_up = 300 * ms;
  bare_reads(procs, file->native_handle(), size, warm_up);
  baton::run([&] { fibers_read(fibers, *file, size, warm_up); }, {.procs = procs});
  for (int i = 0; i < a.number("segments", 2); ++i) {
    const baton::runtime_stats before = baton::stats();
    pace ours{};
    baton::run([&] { ours = fibers_read(fibers, *file, size, length); });
    const baton::runtime_stats after = baton::stats();
    out.add("threads", count_threads(::getpid()));
    const pace bare = bare_reads(procs, file->native_handle(), size, length);
    out.add("reads_per_s", ours.per_ms);
    out.add("bare_per_s", bare.per_ms);
    out.add("share", 100 * ours.per_ms / bare.per_ms);
    out.add("cpu_ns", ours.cpu_ns);
    out.add("bare_cpu_ns", bare.cpu_ns);
    out.add("cpu_share", 100 * bare.cpu_ns / ours.cpu_ns);
    out.add("machines", static_cast<double>(after.threads));
    const auto rescued = static_cast<double>(after.rescues - before.rescues);
    const auto ended = static_cast<double>(after.slices_ended - before.slices_ended);
    out.add("rescued", 100 * rescued / std::max(1.0, rescued + ended));
  }
}

}  // namespace handoff
