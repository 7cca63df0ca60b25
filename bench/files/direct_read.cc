// Reads that have to wait for the device.
//
//   direct_read file=PATH ops=N
//     64 fibers read 4 KiB each with O_DIRECT, at random places of the file, N reads together, a
//     multiple of 64. Bare: a loop in C over
//     one io_uring that keeps 64 reads in flight.
//   prints (us), and
//     threads     of the process while its fibers read, before anything bare has run. The threads that the kernel
//                 makes for an io_uring count
#include "../process_threads.h"
#include "scenarios.h"

#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <vector>

namespace files {

namespace {

constexpr int in_flight = 64;

std::int64_t by_fibers(baton::file& file, off_t size, std::int64_t each) {
  const page_memory memory = make_pages(in_flight);
  std::vector<baton::fiber<void>> fibers;
  const std::int64_t begin = now_ns();
  for (int i = 0; i < in_flight; ++i) {
    fibers.push_back(baton::spawn([&, i] {
      random_page next(static_cast<std::uint64_t>(i) + 1, size);
      const baton::bytes into(memory.get() + static_cast<std::size_t>(i) * page, page);
      for (std::int64_t k = 0; k < each; ++k) {
        const auto n = file.read_at(into, next());
        if (!n.ok() || *n != page) die("read with O_DIRECT");
      }
    }));
  }
  for (auto& one : fibers) one.join();
  return now_ns() - begin;
}

// A ring as a program in C would use it: one thread, a system call for all that can be submitted, and to wait.
class plain_ring {
 public:
  plain_ring() {
    io_uring_params p{};
    fd_ = static_cast<int>(::syscall(SYS_io_uring_setup, in_flight, &p));
    if (fd_ < 0) die("no io_uring here");
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

  std::int64_t read(int file, off_t size, char* memory, std::int64_t ops) {
    random_page next(1, size);
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
    const std::int64_t begin = now_ns();
    for (std::int64_t i = 0; i < std::min<std::int64_t>(in_flight, ops); ++i) submit(static_cast<std::uint64_t>(i));
    while (done < ops) {
      if (::syscall(SYS_io_uring_enter, fd_, fresh, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0) die("io_uring_enter");
      fresh = 0;
      unsigned head = *cq_head_;
      const unsigned tail = __atomic_load_n(cq_tail_, __ATOMIC_ACQUIRE);
      for (; head != tail; ++head) {
        const io_uring_cqe& c = cqes_[head & cq_mask_];
        if (c.res != static_cast<int>(page)) die("read by io_uring");
        ++done;
        if (submitted < ops) submit(c.user_data);
      }
      __atomic_store_n(cq_head_, head, __ATOMIC_RELEASE);
    }
    return now_ns() - begin;
  }

 private:
  char* map(std::size_t size, off_t what) const {
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, what);
    if (at == MAP_FAILED) die("mmap of an io_uring");
    return static_cast<char*>(at);
  }

  int fd_ = -1;
  io_uring_sqe* sqes_ = nullptr;
  unsigned* sq_tail_ = nullptr;
  unsigned* cq_head_ = nullptr;
  unsigned* cq_tail_ = nullptr;
  io_uring_cqe* cqes_ = nullptr;
  unsigned sq_mask_ = 0;
  unsigned cq_mask_ = 0;
};

}  // namespace

void direct_read(const arguments& a, report& out) {
  auto file = baton::file::open(a.text("file"), O_RDONLY | O_DIRECT);
  if (!file.ok()) die("cannot open the file with O_DIRECT");
  const off_t size = file->stat()->st_size;
  const std::int64_t each = a.number("ops", 4'096) / in_flight;
  const page_memory memory = make_pages(in_flight);
  std::unique_ptr<plain_ring> ring;
  in_turns(
      a, out, microseconds, each * in_flight,
      [&] {
        const std::int64_t took = by_fibers(*file, size, each);
        if (ring == nullptr) out.add("threads", count_threads(::getpid()));
        return took;
      },
      [&] {
        if (ring == nullptr) ring = std::make_unique<plain_ring>();
        return ring->read(file->native_handle(), size, memory.get(), each * in_flight);
      });
}

}  // namespace files
