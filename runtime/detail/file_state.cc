// A read takes one of three ways:
//
//   asking    preadv2 with RWF_NOWAIT gives what is in memory without telling the scheduler, because it cannot block.
//             EAGAIN means that the device is needed; the blocking call follows. A file begins this way. Linux 5.9 and
//             5.10 may return 0, which means the end, although it is not the end: a blocking call confirms a 0. Only
//             files and block devices are asked again: from a socket, 0 is a message without content, which the first
//             call has taken.
//   trusting  preadv2 takes a tenth longer than pread (4 KiB: some 60 ns). A file whose reads have all been in memory
//             for long is read by pread, declared as short. If such a read has to wait, its P waits too, until the
//             monitor takes the P (half a millisecond where work waits), and the file is asked again. Pipes, terminals
//             and the like are never trusted: waiting is normal there.
//   telling   File systems that do not know the flag return EOPNOTSUPP, once per open file. Then a read is a declared
//             call, which learns (call_site.h). Files opened with O_DIRECT are read this way, too: preadv2 would fetch
//             their content with or without the flag, and return when it is there.
//
// When to trust: once asking has cost as much as one surprise does. Then both together cost at most about twice what
// the better of the two would have cost, whatever comes.
//
// A blocking call on a regular file passes a gate (file_gate.h), so that ten thousand fibers that read files are not
// ten thousand threads. Other files have no gate: a read of a FIFO lasts until another process or thread writes.
//
// EAGAIN from a blocking call: another user, perhaps in another process, has made the open file non-blocking. The fiber
// parks until the file is ready. The poller has a duplicate of the number; the open file is the same, so both become
// ready at once. The calls themselves stay declared, because the other user may make the file blocking again.
//
// Closing: users_ counts the users inside. The first close() forbids more, ends the parked calls, waits until no
// user is inside, and closes the number. The other calls of close(), and the destructor, wait for that.
#include <baton/runtime/detail/file_state.h>

#include <baton/netpoll/descriptor.h>
#include <baton/runtime/detail/file_gate.h>
#include <baton/sched/declared_call.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/sampling.h>
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/status.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>

namespace baton::detail {

namespace platform = sched::platform;

namespace {

// After this many reads in a row that asked and were answered, no read asks any more: 60 ns each, half a millisecond.
constexpr std::uint32_t trusted_from = 8192;
// All readers of the file share the count. So only one in 64 reads, by chance, adds to it, for all 64.
constexpr std::uint32_t counted_every = 64;

constexpr std::uintptr_t gate_unknown = 0;
constexpr std::uintptr_t no_gate = 1;

constinit sched::call_site trusting("baton::file: a read of what has been in memory for long");

// Returns true if the content of the file lies on a device, and does not come from a writer that may write more.
bool waiting_is_unusual(int fd) noexcept {
  const auto about = sys::fstat(fd);
  return about && (S_ISREG(about->st_mode) || S_ISBLK(about->st_mode));
}

class inside {
 public:
  explicit inside(file_users& users) noexcept : users_(users), entered_(users.enter()) {}
  ~inside() {
    if (entered_) users_.leave();
  }
  inside(const inside&) = delete;
  inside& operator=(const inside&) = delete;
  explicit operator bool() const noexcept { return entered_; }

 private:
  file_users& users_;
  const bool entered_;
};

}  // namespace

bool file_state::is_direct(int number) noexcept {
  const auto flags = sys::fcntl(number, F_GETFL);
  return flags && (*flags & O_DIRECT) != 0;
}

void file_state::drop(file_state* s) noexcept {
  if (s == nullptr) return;
  // At exit the users inside will neither leave nor go on. They and the kernel may use the state.
  if (sched::is_ending() && s->users_.any()) return;
  static_cast<void>(s->close());
  delete s;
}

// The last close() has waited for all users, except for a poller that was made too late for it.
file_state::~file_state() { delete waits_.load(platform::mo::acquire); }

absl::Status file_state::failed(int error, const char* operation) const {
  if (error == ECANCELED) {
    // The runtime's own error: the kernel has no such answer for a file.
    return absl::CancelledError(std::string(operation).append(" ").append(path_).append(": closed"));
  }
  return status_from_errno(error, std::string(operation).append(" ").append(path_));
}

// Returns null if a call on this file may last for ever; it must not keep others waiting.
blocking_gate* file_state::gate() noexcept {
  // acquire: pairs with the release below, so a thread that uses the gate sees it constructed.
  std::uintptr_t seen = gate_.load(platform::mo::acquire);
  if (seen == gate_unknown) {
    const auto about = sys::fstat(fd_);
    seen = about && S_ISREG(about->st_mode) ? reinterpret_cast<std::uintptr_t>(&file_gate_of(about->st_dev)) : no_gate;
    gate_.store(seen, platform::mo::release);
  }
  return seen == no_gate ? nullptr : reinterpret_cast<blocking_gate*>(seen);
}

bool file_state::lies_on_device() noexcept { return gate() != nullptr || waiting_is_unusual(fd_); }

template <class Call>
auto file_state::behind_gate(Call&& call) {
  if (blocking_gate* const g = gate()) return blocking(*g, std::forward<Call>(call));
  return blocking(std::forward<Call>(call));
}

// Returns what the poller knows of this file. Returns null if the file cannot be polled, or if there is no free number
// or no memory for that.
net::descriptor* file_state::waits(int& error) noexcept {
  // acquire: pairs with the compare-and-swap below.
  net::descriptor* known = waits_.load(platform::mo::acquire);
  if (known != nullptr) return known;
  const auto twin = sys::fcntl(fd_, F_DUPFD_CLOEXEC, 3);
  error = twin.error();
  if (!twin) return nullptr;
  std::unique_ptr<net::descriptor> fresh(new (std::nothrow) net::descriptor);
  if (fresh == nullptr) {
    static_cast<void>(sys::close(*twin));
    error = ENOMEM;
    return nullptr;
  }
  error = fresh->attach(*twin);  // closes it when it fails
  if (error != 0) return nullptr;
  // seq_cst: it is published before parked() looks whether the file is closed; close() does it the other way round.
  if (waits_.compare_exchange_strong(known, fresh.get(), platform::mo::seq_cst, platform::mo::acquire)) {
    return fresh.release();
  }
  return known;
}

// Repeats a call that has returned EAGAIN each time the file is ready, until it returns something else. Returns
// ECANCELED if the file was closed meanwhile.
template <class Call>
sys::result<std::size_t> file_state::parked(net::poll_side side, Call&& call) {
  int error = 0;
  net::descriptor* const poller = waits(error);
  if (users_.is_closed()) return sys::failure(ECANCELED);  // close() may have missed the new poller
  if (poller == nullptr) {
    if (error == EPERM) return sys::failure(EAGAIN);  // the kernel's own answer
    // A thread waits instead.
    ::pollfd one{fd_, static_cast<short>(side == net::poll_side::read ? POLLIN : POLLOUT), 0};
    for (;;) {
      if (const auto ready = sys::poll({&one, 1}, 100); !ready) return sys::failure(ready.error());
      if (users_.is_closed()) return sys::failure(ECANCELED);
      const sys::result<std::size_t> n = call();
      if (n.error() != EAGAIN) return n;
    }
  }
  const auto step = [&](int, net::io_result& so_far) {
    const sys::result<std::size_t> n = call();
    if (n.error() == EAGAIN) return net::io_step::again;
    so_far.error = n.error();
    so_far.count = n.value_or(std::size_t{0});
    return net::io_step::done;
  };
  const bool reads = side == net::poll_side::read;
  const net::io_result r =
      poller->transfer(side, reads ? sched::wait_reason::descriptor_read : sched::wait_reason::descriptor_write, step,
                       [](const net::io_result&) {});
  if (r.failure != net::poll_failure::none) return sys::failure(ECANCELED);
  if (r.error != 0) return sys::failure(r.error);
  return r.count;
}

// Returns an error if a caller that needs the answer must wait, or would get the same error again.
sys::result<std::size_t> file_state::ask(bytes buffer, off_t offset) {
  const ::iovec one = as_iovec(buffer);
  const sys::result<std::size_t> n = sys::nb::preadv2(fd_, {&one, 1}, offset, RWF_NOWAIT);
  if (n) {
    if (*n == 0 && !buffer.empty() && lies_on_device()) {
      return sys::failure(EAGAIN);  // the end, or a kernel that is wrong about it
    }
    if (sched::one_in_64(platform::ticks())) {
      // relaxed, here and below: a hint that any call may set and any may miss.
      const std::uint32_t row = cached_in_a_row_.load(platform::mo::relaxed) + counted_every;
      std::uint32_t next = row;
      // O_DIRECT may have been set since the file was opened.
      if (row >= trusted_from) next = is_direct(fd_) ? cannot_ask : waiting_is_unusual(fd_) ? row : 0;
      cached_in_a_row_.store(next, platform::mo::relaxed);
    }
    return n;
  }
  // The kernel, the file system, or a filter of system calls does not know the flag. (Or the error comes again.)
  const bool never = n.error() == EOPNOTSUPP || n.error() == EINVAL || n.error() == ENOSYS || n.error() == EPERM;
  cached_in_a_row_.store(never ? cannot_ask : 0, platform::mo::relaxed);
  return n;
}

sys::result<std::size_t> file_state::trust(bytes buffer, off_t offset) {
  const bool kept = sched::begin_short_call(trusting);
  const auto n = offset == at_position ? sys::nb::read(fd_, buffer) : sys::nb::pread(fd_, buffer, offset);
  const bool waited = sched::end_call(sched::stay::anywhere) && kept;
  if (waited) cached_in_a_row_.store(0, platform::mo::relaxed);
  return n;
}

sys::result<std::size_t> file_state::declared_read(bytes buffer, off_t offset) {
  const auto call = [=, this]() noexcept {
    return offset == at_position ? sys::nb::read(fd_, buffer) : sys::nb::pread(fd_, buffer, offset);
  };
  const sys::result<std::size_t> n = behind_gate(call);
  if (n.error() != EAGAIN) return n;
  return parked(net::poll_side::read, [&] { return blocking(call); });
}

sys::result<std::size_t> file_state::read(bytes buffer, off_t offset) {
  const inside user(users_);
  if (!user) return sys::failure(EBADF);
  const std::uint32_t row = cached_in_a_row_.load(platform::mo::relaxed);
  if (row < trusted_from) {
    const auto n = ask(buffer, offset);
    if (n) {
      sched::yield_if_due();
      return n;
    }
  } else if (row != cannot_ask) {
    const auto n = trust(buffer, offset);
    if (n.error() != EAGAIN) return n;
  }
  return declared_read(buffer, offset);
}

sys::result<std::size_t> file_state::write_once(const_bytes data, off_t offset) {
  const auto call = [=, this]() noexcept {
    return offset == at_position ? sys::nb::write(fd_, data) : sys::nb::pwrite(fd_, data, offset);
  };
  const sys::result<std::size_t> n = behind_gate(call);
  if (n.error() != EAGAIN) return n;
  return parked(net::poll_side::write, [&] { return blocking(call); });
}

// With O_APPEND pwrite would append, whatever the offset (pwrite(2), BUGS). So a write at a position returns EINVAL
// then.
sys::result<std::size_t> file_state::write(const_bytes data, off_t offset, std::size_t& written) {
  written = 0;
  const inside user(users_);
  if (!user) return sys::failure(EBADF);
  if (offset != at_position) {
    const auto flags = sys::fcntl(fd_, F_GETFL);
    if (!flags) return sys::failure(flags.error());
    if ((*flags & O_APPEND) != 0) return sys::failure(EINVAL);
  }
  do {
    const off_t at = offset == at_position ? at_position : offset + static_cast<off_t>(written);
    const sys::result<std::size_t> n = write_once(data.drop(written), at);
    if (!n) return n;
    if (*n == 0 && !data.empty()) return sys::failure(EIO);
    written += *n;
  } while (written < data.size());
  return written;
}

sys::result<void> file_state::sync() {
  const inside user(users_);
  if (!user) return sys::failure(EBADF);
  return behind_gate([this]() noexcept { return sys::fsync(fd_); });
}

sys::result<struct ::stat> file_state::stat() {
  const inside user(users_);
  if (!user) return sys::failure(EBADF);
  return sys::fstat(fd_);
}

sys::result<void> file_state::close() noexcept {
  const bool first = users_.close();
  // At exit the users inside will not leave; they keep the number.
  if ((first ? users_.any() : !closed_.is_set()) && !sched::destructor_may_wait("a file is left to those who use it")) {
    return sys::failure(EBUSY);
  }
  if (!first) {
    closed_.wait();
    return sys::failure(EBADF);
  }
  // seq_cst: see waits().
  if (net::descriptor* const poller = waits_.load(platform::mo::seq_cst)) poller->close();
  users_.wait_until_none();
  const auto done = sys::close(fd_);
  closed_.set();
  return done;
}

}  // namespace baton::detail
