#include <baton/netpoll/ring_queues.h>

#include <baton/netpoll/ring.h>
#include <baton/syscall/above_standard.h>
#include <baton/syscall/direct_call.h>

#include <linux/time_types.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace baton::net::ring {

using sys::detail::call;

namespace {

constexpr unsigned entries = 256;  // of the submission queue: the most that one system call hands over
constexpr unsigned workers_max = 16;
constexpr std::int64_t wait_max_s = 10;
constexpr std::uint32_t gather_us = 30;

// Of Linux 6.12, which older headers do not have: IORING_FEAT_MIN_TIMEOUT, and a name for the third member of
// io_uring_getevents_arg.
constexpr unsigned feature_min_timeout = 1U << 15;
struct how_to_wait {
  std::uint64_t signals = 0;
  std::uint32_t signals_size = 0;
  std::uint32_t min_wait_us = 0;
  std::uint64_t limit = 0;
};
static_assert(sizeof(how_to_wait) == sizeof(io_uring_getevents_arg));

}  // namespace

queues::~queues() {
  submissions_.unmap();
  completions_.unmap();
  sqes_.unmap();
}

int queues::open() noexcept {
  // Newer kernels first: with these flags completions are made when the thread makes a call, without interrupting it.
  for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN, 0U}) {
    p_ = {};
    p_.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    p_.cq_entries = 2 * transfers_max;
    const auto fd = call<SYS_io_uring_setup, int>(entries, &p_);
    if (fd) {
      auto own = sys::detail::above_standard(sys::owned_fd(*fd));
      if (!own) return false;
      fd_ = *std::move(own);
      break;
    }
    if (fd.error() != EINVAL) return fd.error();
  }
  // NODROP: none is lost. RW_CUR_POS, FAST_POLL and others are not needed.
  if (!fd_ || (p_.features & IORING_FEAT_NODROP) == 0) return ENOSYS;
  const int fd = fd_.get();
  if (!submissions_.map(fd, p_.sq_off.array + p_.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING) ||
      !completions_.map(fd, p_.cq_off.cqes + p_.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING) ||
      !sqes_.map(fd, p_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES)) {
    return ENOMEM;
  }
  auto* const array = submissions_.part<unsigned>(p_.sq_off.array);
  for (unsigned i = 0; i < p_.sq_entries; ++i) array[i] = i;
  unsigned workers[2] = {workers_max, workers_max};
  // Linux 5.15. Before, the kernel's own limit holds: four for each CPU.
  static_cast<void>(call<SYS_io_uring_register, int>(fd, IORING_REGISTER_IOWQ_MAX_WORKERS, &workers[0], 2U));
  return 0;
}

io_uring_sqe* queues::next_entry() noexcept {
  // acquire: pairs with the kernel, which has read the entries before the head.
  const unsigned head = __atomic_load_n(submissions_.part<unsigned>(p_.sq_off.head), __ATOMIC_ACQUIRE);
  if (tail_ - head >= p_.sq_entries) return nullptr;
  auto* const e = sqes_.part<io_uring_sqe>(0) + (tail_++ & (p_.sq_entries - 1));
  std::memset(e, 0, sizeof *e);
  return e;
}

int queues::submit_and_wait(unsigned completions) noexcept {
  // release: the kernel sees the entries with the tail.
  __atomic_store_n(submissions_.part<unsigned>(p_.sq_off.tail), tail_, __ATOMIC_RELEASE);
  __kernel_timespec limit{wait_max_s, 0};
  how_to_wait how;
  how.limit = reinterpret_cast<std::uint64_t>(&limit);
  const bool timed = completions != 0 && (p_.features & IORING_FEAT_EXT_ARG) != 0;
  if (timed && completions > 1 && (p_.features & feature_min_timeout) != 0) {
    how.min_wait_us = gather_us;
  } else {
    completions = std::min(completions, 1U);
  }
  const unsigned flags = IORING_ENTER_GETEVENTS | (timed ? IORING_ENTER_EXT_ARG : 0U);
  const auto n = call<SYS_io_uring_enter, unsigned, sys::detail::on_eintr::report>(
      fd_.get(), tail_ - submitted_, completions, flags, timed ? static_cast<void*>(&how) : nullptr,
      timed ? sizeof how : std::size_t{0});
  // Where the wait fails, the entries may have been taken nevertheless. The head tells.
  submitted_ = __atomic_load_n(submissions_.part<unsigned>(p_.sq_off.head), __ATOMIC_ACQUIRE);
  return n.error();
}

}  // namespace baton::net::ring
