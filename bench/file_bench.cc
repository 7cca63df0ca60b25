// Files (rows as pairs.h says). The files lie in the working directory, which should be on a disk.
//
//   direct_read    64 fibers read 4 KiB each with O_DIRECT, at random places; beside it a loop in C over one io_uring
//                  with 64 reads in flight
//   cached_read    one fiber reads 4 KiB that the page cache has; beside it pread
//   copy           baton::copy() of 256 MiB that the page cache has, to a new file; beside it the command cp, started
//                  and waited for
//   read_line      lines of 40 bytes through a buffered_reader; beside it getline() over a FILE
#include "pairs.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/io.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/raw_syscall.h>

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr std::size_t page = 4096;
constexpr int in_flight = 64;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

// A file of the working directory, which is removed at the end.
class scratch_file {
 public:
  scratch_file(std::string name, std::size_t size) : name_(std::move(name)) {
    const int fd = ::open(name_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) give_up(name_.c_str());
    std::string part(std::size_t{1} << 20, '\0');
    for (std::size_t i = 0; i < part.size(); ++i) part[i] = i % 41 == 40 ? '\n' : static_cast<char>('a' + i % 26);
    for (std::size_t done = 0; done < size;) {
      const ssize_t n = ::write(fd, part.data(), std::min(part.size(), size - done));
      if (n <= 0) give_up("write");
      done += static_cast<std::size_t>(n);
    }
    ::fsync(fd);
    ::close(fd);
  }
  ~scratch_file() { ::unlink(name_.c_str()); }
  scratch_file(const scratch_file&) = delete;
  scratch_file& operator=(const scratch_file&) = delete;
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
};

struct random_page {
  std::uint64_t state;
  std::uint64_t pages;
  off_t operator()() {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<off_t>((state >> 33) % pages * page);
  }
};

struct free_memory {
  void operator()(void* p) const { std::free(p); }
};
using page_memory = std::unique_ptr<char, free_memory>;
page_memory make_pages(std::size_t n) { return page_memory(static_cast<char*>(std::aligned_alloc(page, n * page))); }

constexpr std::size_t direct_size = std::size_t{256} << 20;
constexpr std::int64_t direct_each = 64;
constexpr std::int64_t direct_ops = in_flight * direct_each;

double direct_by_fibers(baton::file& f) {
  const page_memory memory = make_pages(in_flight);
  std::vector<baton::fiber<void>> fibers;
  const auto begin = bench::clock_type::now();
  for (int i = 0; i < in_flight; ++i) {
    fibers.push_back(baton::spawn([&f, &memory, i] {
      random_page next{static_cast<std::uint64_t>(i) + 1, direct_size / page};
      const baton::bytes at(memory.get() + static_cast<std::size_t>(i) * page, page);
      for (std::int64_t k = 0; k < direct_each; ++k) {
        if (!f.read_at(at, next()).ok()) give_up("read");
      }
    }));
  }
  for (auto& one : fibers) one.join();
  return bench::seconds_since(begin);
}

// A ring as a program in C would use it: one thread, a system call for all that can be submitted, and to wait.
class plain_ring {
 public:
  plain_ring() {
    io_uring_params p{};
    fd_ = static_cast<int>(::syscall(SYS_io_uring_setup, in_flight, &p));
    if (fd_ < 0) return;
    const auto map = [&](std::size_t size, off_t what) {
      void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, what);
      if (at == MAP_FAILED) give_up("mmap");
      return static_cast<char*>(at);
    };
    char* const sq = map(p.sq_off.array + p.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    char* const cq = map(p.cq_off.cqes + p.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING);
    sqes_ = reinterpret_cast<io_uring_sqe*>(map(p.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
    sq_tail_ = reinterpret_cast<unsigned*>(sq + p.sq_off.tail);
    auto* const array = reinterpret_cast<unsigned*>(sq + p.sq_off.array);
    for (unsigned i = 0; i < p.sq_entries; ++i) array[i] = i;
    sq_mask_ = p.sq_entries - 1;
    cq_head_ = reinterpret_cast<unsigned*>(cq + p.cq_off.head);
    cq_tail_ = reinterpret_cast<unsigned*>(cq + p.cq_off.tail);
    cqes_ = reinterpret_cast<io_uring_cqe*>(cq + p.cq_off.cqes);
    cq_mask_ = p.cq_entries - 1;
  }
  [[nodiscard]] bool works() const { return fd_ >= 0; }

  double read(int file, char* memory) {
    random_page next{1, direct_size / page};
    std::int64_t submitted = 0;
    std::int64_t done = 0;
    unsigned fresh = 0;
    const auto submit = [&](std::uint64_t slot) {
      const unsigned tail = *sq_tail_;
      io_uring_sqe& e = sqes_[tail & sq_mask_];
      std::memset(&e, 0, sizeof e);
      e.opcode = IORING_OP_READ;
      e.fd = file;
      e.addr = reinterpret_cast<std::uint64_t>(memory + slot * page);
      e.len = page;
      e.off = static_cast<std::uint64_t>(next());
      e.user_data = slot;
      __atomic_store_n(sq_tail_, tail + 1, __ATOMIC_RELEASE);
      ++submitted;
      ++fresh;
    };
    const auto begin = bench::clock_type::now();
    for (int i = 0; i < in_flight; ++i) submit(static_cast<std::uint64_t>(i));
    while (done < direct_ops) {
      if (::syscall(SYS_io_uring_enter, fd_, fresh, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0)
        give_up("io_uring_enter");
      fresh = 0;
      unsigned head = *cq_head_;
      const unsigned tail = __atomic_load_n(cq_tail_, __ATOMIC_ACQUIRE);
      for (; head != tail; ++head) {
        const io_uring_cqe& c = cqes_[head & cq_mask_];
        if (c.res != static_cast<int>(page)) give_up("read by io_uring");
        ++done;
        if (submitted < direct_ops) submit(c.user_data);
      }
      __atomic_store_n(cq_head_, head, __ATOMIC_RELEASE);
    }
    return bench::seconds_since(begin);
  }

 private:
  int fd_ = -1;
  io_uring_sqe* sqes_ = nullptr;
  unsigned* sq_tail_ = nullptr;
  unsigned* cq_head_ = nullptr;
  unsigned* cq_tail_ = nullptr;
  io_uring_cqe* cqes_ = nullptr;
  unsigned sq_mask_ = 0;
  unsigned cq_mask_ = 0;
};

void direct_read(benchmark::State& state) {
  const scratch_file scratch("baton_bench_direct", direct_size);
  auto f = baton::file::open(scratch.name(), O_RDONLY | O_DIRECT);
  plain_ring ring;
  if (!f.ok() || !ring.works()) return state.SkipWithError("no O_DIRECT, or no io_uring");
  const page_memory memory = make_pages(in_flight);
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), direct_ops, [&] { return direct_by_fibers(*f); },
      [&] { return baton::blocking([&] { return ring.read(f->native_handle(), memory.get()); }); });
}

constexpr std::int64_t cached_ops = 5'000;

void cached_read(benchmark::State& state) {
  constexpr std::size_t size = std::size_t{1} << 20;
  const scratch_file scratch("baton_bench_cached", size);
  auto f = baton::file::open(scratch.name());
  if (!f.ok()) return state.SkipWithError(f.status().ToString().c_str());
  const page_memory memory = make_pages(1);
  const auto timed = [&](auto read) {
    random_page next{1, size / page};
    const auto begin = bench::clock_type::now();
    for (std::int64_t i = 0; i < cached_ops; ++i) {
      if (!read(next())) give_up("read");
    }
    return bench::seconds_since(begin);
  };
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), cached_ops,
      [&] { return timed([&](off_t at) { return f->read_at(baton::bytes(memory.get(), page), at).ok(); }); },
      [&] {
        const int fd = f->native_handle();
        return timed([&, fd](off_t at) { return ::pread(fd, memory.get(), page, at) == static_cast<ssize_t>(page); });
      });
}

void copy_file(benchmark::State& state) {
  const scratch_file scratch("baton_bench_copy", std::size_t{256} << 20);
  const std::string target = scratch.name() + "_to";
  const std::string command = "cp " + scratch.name() + " " + target;
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), 1,
      [&] {
        ::unlink(target.c_str());
        const auto begin = bench::clock_type::now();
        auto from = baton::file::open(scratch.name());
        auto to = baton::file::open(target, O_WRONLY | O_CREAT | O_EXCL);
        if (!from.ok() || !to.ok() || !baton::copy(*to, *from).ok() || !to->close().ok()) give_up("copy");
        return bench::seconds_since(begin);
      },
      [&] {
        return baton::blocking([&] {
          ::unlink(target.c_str());
          const auto begin = bench::clock_type::now();
          if (std::system(command.c_str()) != 0) give_up("cp");
          return bench::seconds_since(begin);
        });
      });
  ::unlink(target.c_str());
}

void read_line(benchmark::State& state) {
  constexpr std::size_t size = std::size_t{41} << 20;
  constexpr std::int64_t lines = std::int64_t{1} << 20;
  const scratch_file scratch("baton_bench_lines", size);
  bench::run_pairs(
      state, static_cast<int>(state.range(0)), lines,
      [&] {
        auto f = baton::file::open(scratch.name());
        if (!f.ok()) give_up("open");
        baton::buffered_reader in(*f);
        std::size_t total = 0;
        const auto begin = bench::clock_type::now();
        for (;;) {
          const auto line = in.read_line(4096);
          if (!line.ok()) give_up("read_line");
          if (!line->has_value()) break;
          total += (*line)->size();
        }
        benchmark::DoNotOptimize(total);
        return bench::seconds_since(begin);
      },
      [&] {
        std::FILE* const f = std::fopen(scratch.name().c_str(), "re");
        if (f == nullptr) give_up("fopen");
        char* line = nullptr;
        std::size_t room = 0;
        std::size_t total = 0;
        const auto begin = bench::clock_type::now();
        for (ssize_t n = 0; (n = ::getline(&line, &room, f)) > 0;) total += static_cast<std::size_t>(n);
        benchmark::DoNotOptimize(total);
        const double took = bench::seconds_since(begin);
        std::free(line);
        std::fclose(f);
        return took;
      });
}

// The argument is the number of Ps.
const bench::row rows[] = {
    {.benchmark = "direct_read",
     .run = direct_read,
     .args = {1},
     .name = "4 KiB with O_DIRECT, 64 fibers, 1 P",
     .primitive = {"io_uring, 64 in flight"},
     .target = bench::at_most_times(1 / 0.9).shown_as(">= 0.9 x its rate")},
    {.benchmark = "direct_read",
     .run = direct_read,
     .args = {2},
     .name = "4 KiB with O_DIRECT, 64 fibers, 2 Ps",
     .primitive = {"io_uring, 64 in flight"},
     .target = bench::at_most_times(1 / 0.9).shown_as(">= 0.9 x its rate")},
    {.benchmark = "cached_read",
     .run = cached_read,
     .args = {1},
     .name = "4 KiB from the page cache",
     .primitive = {"pread"},
     .target = bench::at_most_times(1 / 0.9).shown_as(">= 0.9 x its rate")},
    {.benchmark = "copy_file",
     .run = copy_file,
     .args = {1},
     .name = "copy of 256 MiB in the page cache",
     .primitive = {"cp"},
     .target = bench::at_most_times(1 / 0.95).shown_as(">= 0.95 x its rate"),
     .unit = "ms"},
    {.benchmark = "read_line",
     .run = read_line,
     .args = {1},
     .name = "line of 40 bytes, read_line",
     .primitive = {"getline"},
     .target = bench::at_most_times(1 / 0.8).shown_as(">= 0.8 x its rate")},
};
const bench::pairs measured("syscall", rows);

}  // namespace
