// There are two kinds of files. Files on a device (regular files, block devices, directories) answer when the device
// does. Other files (pipes, terminals, sockets, eventfds …) may wait for ever, for another process or a person.
//
// A read from a device takes one of these ways:
//
//   asking    preadv2 with RWF_NOWAIT gives what is in memory without telling the scheduler, because it cannot block.
//             EAGAIN means that the device is needed; the blocking call follows. A file begins this way. Linux 5.9 and
//             5.10 may return 0, which means the end, although it is not the end: a blocking call confirms a 0.
//   trusting  preadv2 takes a tenth longer than pread (4 KiB: some 60 ns). A file whose reads have all been in memory
//             for long is read by pread, declared as short. If such a read has to wait, its P waits too, until the
//             monitor takes the P (half a millisecond where work waits), and the file is asked again.
//   ring      What would wait goes to io_uring (netpoll/ring.h): the fiber parks. Files that are open with O_DIRECT, of
//             which memory has nothing, go this way, too.
//   telling   File systems that do not know the flag return EOPNOTSUPP, once per open file; without a thread io_uring
//             can do nothing there. Then a read is a declared call behind a gate, which learns (call_site.h). The same
//             holds where the kernel refuses io_uring, and for transfers that io_uring ends with an error.
//
// Writes go to memory in declared calls, which rarely wait. Only those at an offset of a file that is open with
// O_DIRECT go through the ring.
//
// When to trust: once asking has cost as much as one surprise does. Then both together cost at most about twice what
// the better of the two would have cost, whatever comes.
//
// A blocking call on a device passes a gate (file_gate.h), so that ten thousand fibers that read files are not ten
// thousand threads. close() ends the waits for room in it.
//
// The kernel has a lock for a file's position, which a read or a write at the position holds while it waits for the
// device. So a read there that asks may wait, too, and is declared as short.
//
// Other files are non-blocking: those that are the file's own because it has made them so, borrowed ones because each
// call asks poll() first (and a write then gives no more than a pipe has room for, PIPE_BUF). EAGAIN: the fiber parks
// until the file is ready. The poller has a duplicate of the number; the open file is the same, so both become ready at
// once. A borrowed file can still block, when another reader takes what poll() has seen; and another user, perhaps in
// another process, may make the open file blocking. So the calls are declared.
//
// The first call that would wait makes the duplicate. Deadlines and contexts need it, too. A device whose driver takes
// O_NONBLOCK, but cannot be polled, is tried again after pauses.
//
// Closing: users_ counts the users inside. The first close() forbids more, ends the parked calls, waits until no
// user is inside, and closes the number. The other calls of close(), and the destructor, wait for that.
#include <baton/runtime/detail/file_state.h>

#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/ring.h>
#include <baton/runtime/detail/file_gate.h>
#include <baton/runtime/detail/sleep_anyway.h>
#include <baton/sched/declared_call.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/sampling.h>
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/status.h>

#include <fcntl.h>
#include <limits.h>
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

constinit sched::call_site trusting("baton::file: a read of what has been in memory for long");

// Decides what a read with RWF_NOWAIT means that returned 0 bytes: the end, or a kernel that is wrong about it.
constexpr int says_the_end = 10'004;

int error_of(net::poll_failure why) noexcept {
  switch (why) {
    case net::poll_failure::none: break;
    case net::poll_failure::closed: return file_closed;
    case net::poll_failure::expired: return file_expired;
    case net::poll_failure::cancelled: return file_cancelled;
  }
  return 0;
}

}  // namespace

bool file_state::is_direct(int number) noexcept {
  const auto flags = sys::fcntl(number, F_GETFL);
  return flags && (*flags & O_DIRECT) != 0;
}

sys::result<file_state*> file_state::make(int number, const std::string& name, file_origin origin) noexcept {
  const auto kind = kind_of(number);
  if (!kind) return sys::failure(kind.error());
  const auto flags = sys::fcntl(number, F_GETFL);
  if (!flags) return sys::failure(flags.error());
  const auto s = make(number, name, origin, *kind, *flags);
  if (s && (*s)->was_blocking_) static_cast<void>(sys::fcntl(number, F_SETFL, *flags | O_NONBLOCK));
  return s;
}

sys::result<file_state*> file_state::make(int number, const std::string& name, file_origin origin, file_kind kind,
                                          int flags) noexcept try {
  const bool on_device = kind.on_device();
  auto* const s = new file_state(number, name, origin, kind, on_device && (flags & O_DIRECT) != 0);
  s->was_blocking_ = !on_device && origin != file_origin::borrowed && (flags & O_NONBLOCK) == 0;
  return s;
} catch (const std::bad_alloc&) {
  return sys::failure(ENOMEM);
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
  const auto reason = [&](net::poll_failure why) {
    // acquire: as in waits().
    const net::descriptor* const poller = waits_.load(platform::mo::acquire);
    net::io_result r;
    r.failure = why;
    return poller->status_of(r, operation, path_);
  };
  switch (error) {
    case file_closed: return absl::CancelledError(std::string(operation).append(" ").append(path_).append(": closed"));
    case file_expired: return reason(net::poll_failure::expired);
    case file_cancelled: return reason(net::poll_failure::cancelled);
    default: return status_from_errno(error, std::string(operation).append(" ").append(path_));
  }
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

// There is no number or no memory for a poller: a thread waits instead.
sys::result<std::size_t> file_state::parked_on_a_thread(net::poll_side side, any_call call) {
  ::pollfd one{fd_, static_cast<short>(side == net::poll_side::read ? POLLIN : POLLOUT), 0};
  for (;;) {
    if (const auto ready = sys::poll({&one, 1}, 100); !ready) return sys::failure(ready.error());
    if (users_.is_closed()) return sys::failure(file_closed);
    const sys::result<std::size_t> n = call();
    if (n.error() != EAGAIN) return n;
  }
}

// The driver takes O_NONBLOCK, and cannot be polled.
sys::result<std::size_t> file_state::tried_again(any_call call) {
  for (growing_pause pause;;) {
    pause.sleep();
    if (users_.is_closed()) return sys::failure(file_closed);
    const sys::result<std::size_t> n = call();
    if (n.error() != EAGAIN) return n;
  }
}

// Makes the call each time the file is ready, until it returns something else than EAGAIN. Fails with file_closed,
// file_expired or file_cancelled.
sys::result<std::size_t> file_state::parked(net::poll_side side, any_call call) {
  int error = 0;
  net::descriptor* const poller = waits(error);
  if (users_.is_closed()) return sys::failure(file_closed);  // close() may have missed the new poller
  if (poller == nullptr && error != EPERM) return parked_on_a_thread(side, call);
  // Otherwise the user has asked for O_NONBLOCK, and gets the kernel's own answer.
  if (poller == nullptr) return was_blocking_ ? tried_again(call) : sys::result<std::size_t>(sys::failure(EAGAIN));
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
  if (const int failed = error_of(r.failure); failed != 0) return sys::failure(failed);
  if (r.error != 0) return sys::failure(r.error);
  return r.count;
}

// Returns an error if a caller that needs the answer must wait, or would get the same error again.
sys::result<std::size_t> file_state::ask(bytes buffer, off_t offset) {
  const auto call = [=, this]() noexcept {
    const ::iovec one = as_iovec(buffer);
    return sys::nb::preadv2(fd_, {&one, 1}, offset, RWF_NOWAIT);
  };
  const sys::result<std::size_t> n = offset == at_position ? blocking(call, wont_block) : call();
  if (n) {
    if (*n == 0 && !buffer.empty()) return sys::failure(says_the_end);
    if (sched::one_in_64(platform::ticks())) {
      // relaxed, here and below: a hint that any call may set and any may miss.
      const std::uint32_t row = cached_in_a_row_.load(platform::mo::relaxed) + counted_every;
      // O_DIRECT may have been set since the file was opened.
      const bool direct = row >= trusted_from && is_direct(fd_);
      cached_in_a_row_.store(direct ? cannot_ask : row, platform::mo::relaxed);
    }
    return n;
  }
  // The kernel, the file system, or a filter of system calls does not know the flag. (Or the error comes again.)
  const bool never = n.error() == EOPNOTSUPP || n.error() == EINVAL || n.error() == ENOSYS || n.error() == EPERM;
  cached_in_a_row_.store(never ? cannot_ask : 0, platform::mo::relaxed);
  if (n.error() == EAGAIN) nowait_.store(nowait::known, platform::mo::relaxed);
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
  return behind_gate([=, this]() noexcept {
    return offset == at_position ? sys::nb::read(fd_, buffer) : sys::nb::pread(fd_, buffer, offset);
  });
}

// Returns false if close() has ended the wait for room.
bool file_state::enter(gate_entry& gate) noexcept {
  gate_waits::one wait(gate_waits_);
  return gate.enter(platform::forever_ns, &wait) == sched::waiter::signalled;
}

bool file_state::may_use_ring() const noexcept {
  const nowait seen = nowait_.load(platform::mo::relaxed);
  return (seen == nowait::known || seen == nowait::asking) && net::ring::is_there();
}

// The file's content is not in memory, or it is read directly. Fails with EAGAIN if a thread has to wait instead.
sys::result<std::size_t> file_state::ring_read(bytes buffer, off_t offset) {
  if (!may_use_ring()) return sys::failure(EAGAIN);
  gate_entry entry(gates_->ring);
  if (!enter(entry)) return sys::failure(file_closed);
  if (offset != at_position) {
    const auto n = net::ring::read(fd_, buffer, offset);
    if (n && (*n > 0 || buffer.empty())) return n;
    // A declared call finds out about errors, and about the end, unless close() has ended this one.
    return sys::failure(!n && users_.is_closed() ? file_closed : EAGAIN);
  }
  // A read at the position, of which io_uring knows nothing that is atomic: fetch what is there into memory, with the
  // buffer as the place for a first copy. Then read, which moves the position as always.
  if (direct_) return sys::failure(EAGAIN);
  constexpr int tries_max = 3;
  for (int tries = 0; tries < tries_max; ++tries) {
    const auto at = sys::lseek(fd_, 0, SEEK_CUR);
    if (!at) break;
    const auto fetched = net::ring::read(fd_, buffer, *at);
    if (!fetched && users_.is_closed()) return sys::failure(file_closed);
    if (!fetched || *fetched == 0) break;
    const auto n = ask(buffer, offset);
    if (n.error() == says_the_end) break;
    if (n || n.error() != EAGAIN) return n;
  }
  return sys::failure(EAGAIN);
}

// A transfer of a file that is open with O_DIRECT. The first one is probe(), a declared call that may not wait within
// the file system (but does wait for the device): whether that is refused tells whether io_uring needs a thread.
// Returns true if it has done the transfer, with `done` set.
template <class Probe>
bool file_state::direct_by_ring(Probe&& probe, sys::result<std::size_t>& done) {
  if (!direct_ || !net::ring::is_there()) return false;
  // relaxed: only one call is to find out. Others that come meanwhile go to the ring.
  nowait unknown = nowait::unknown;
  if (!nowait_.compare_exchange_strong(unknown, nowait::asking, platform::mo::relaxed, platform::mo::relaxed)) {
    return false;
  }
  {
    gate_entry entry(gates_->threads);
    if (!enter(entry)) return done = sys::failure(file_closed), true;
    done = blocking(probe, wont_block);  // one call for each file: it is not worth another thread
  }
  const int error = done.error();
  const bool never = error == EOPNOTSUPP || error == EINVAL || error == ENOSYS || error == EPERM;
  nowait_.store(never ? nowait::refused : nowait::known, platform::mo::relaxed);
  return done.has_value() && (*done > 0);
}

sys::result<std::size_t> file_state::read_device(bytes buffer, off_t offset) {
  const std::uint32_t row = cached_in_a_row_.load(platform::mo::relaxed);
  if (row < trusted_from) {
    const auto n = ask(buffer, offset);
    if (n) {
      sched::yield_if_due();
      return n;
    }
    if (n.error() == says_the_end) return declared_read(buffer, offset);
  } else if (row != cannot_ask) {
    return trust(buffer, offset);
  } else if (sys::result<std::size_t> n = sys::failure(EAGAIN); direct_by_ring(
                 [=, this]() noexcept {
                   const ::iovec one = as_iovec(buffer);
                   return sys::nb::preadv2(fd_, {&one, 1}, offset, RWF_NOWAIT);
                 },
                 n)) {
    return n;
  }
  const auto n = ring_read(buffer, offset);
  return n.error() == EAGAIN ? declared_read(buffer, offset) : n;
}

// Returns true if a call on a borrowed file would wait, as far as poll() knows. One of no bytes never waits, except
// that a socket may have messages of that size.
bool file_state::must_wait(net::poll_side side, std::size_t size) noexcept {
  if (origin_ != file_origin::borrowed || (size == 0 && !S_ISSOCK(kind_.mode))) return false;
  ::pollfd one{fd_, static_cast<short>(side == net::poll_side::read ? POLLIN : POLLOUT), 0};
  const auto ready = sys::poll({&one, 1}, 0);
  return ready && *ready == 0;
}

sys::result<std::size_t> file_state::when_ready(net::poll_side side, any_call call) {
  // With a poller there may be a deadline, which counts before the first try.
  if (waits_.load(platform::mo::acquire) == nullptr) {
    const sys::result<std::size_t> n = call();
    if (n.error() != EAGAIN || on_device()) return n;
  }
  return parked(side, call);
}

int file_state::failure(net::poll_side side) noexcept {
  net::descriptor* const poller = waits_.load(platform::mo::acquire);
  return poller == nullptr ? 0 : error_of(poller->failure(side));
}

sys::result<std::size_t> file_state::read(bytes buffer, off_t offset) {
  if (on_device()) return read_device(buffer, offset);
  return when_ready(net::poll_side::read, [=, this]() -> sys::result<std::size_t> {
    if (must_wait(net::poll_side::read, buffer.size())) return sys::failure(EAGAIN);
    return blocking([=, this]() noexcept {
      return offset == at_position ? sys::nb::read(fd_, buffer) : sys::nb::pread(fd_, buffer, offset);
    });
  });
}

sys::result<std::size_t> file_state::write_once(const_bytes data, off_t offset) {
  if (!on_device() && origin_ == file_origin::borrowed) data = data.first(std::min<std::size_t>(data.size(), PIPE_BUF));
  const auto call = [=, this]() noexcept {
    return offset == at_position ? sys::nb::write(fd_, data) : sys::nb::pwrite(fd_, data, offset);
  };
  if (!on_device()) {
    return when_ready(net::poll_side::write, [&, this]() -> sys::result<std::size_t> {
      if (must_wait(net::poll_side::write, data.size())) return sys::failure(EAGAIN);
      return blocking(call);
    });
  }
  if (direct_ && offset != at_position) {
    sys::result<std::size_t> n = sys::failure(EAGAIN);
    const auto probe = [=, this]() noexcept {
      const ::iovec one = as_iovec(data);
      return sys::nb::pwritev2(fd_, {&one, 1}, offset, RWF_NOWAIT);
    };
    if (direct_by_ring(probe, n)) return n;
    if (may_use_ring()) {
      gate_entry entry(gates_->ring);
      if (!enter(entry)) return sys::failure(file_closed);
      n = net::ring::write(fd_, data, offset);
      if (n && *n > 0) return n;
      if (!n && users_.is_closed()) return sys::failure(file_closed);
    }
  }
  return behind_gate(call);
}

// With O_APPEND pwrite would append, whatever the offset (pwrite(2), BUGS). So a write at a position returns EINVAL
// then.
sys::result<std::size_t> file_state::write(const_bytes data, off_t offset, std::size_t& written) {
  written = 0;
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
  return behind_gate([this]() noexcept { return sys::fsync(fd_); });
}

sys::result<struct ::stat> file_state::stat() {
  return behind_gate([this]() noexcept { return sys::fstat(fd_); });
}

int file_state::set_deadline(bool reads, bool writes, std::int64_t deadline_ns) noexcept try {
  if (on_device()) return EPERM;
  int error = 0;
  net::descriptor* const poller = waits(error);
  if (poller == nullptr) return error;
  if (reads && writes) {
    poller->set_deadlines(deadline_ns);
  } else {
    poller->set_deadline(reads ? net::poll_side::read : net::poll_side::write, deadline_ns);
  }
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int file_state::set_cancellation(const std::shared_ptr<net::cancellation>& c) noexcept {
  if (on_device()) return EPERM;
  int error = 0;
  net::descriptor* const poller = waits(error);
  if (poller == nullptr) return error;
  poller->set_cancellation(c);
  return 0;
}

// Ends the use of the file. Returns true to the first caller, when no user is inside any more. Returns false to the
// others, when the number is given up. EBUSY: see file.h.
sys::result<bool> file_state::end() noexcept {
  const bool first = users_.close();
  // At exit the users inside will not leave; they keep the number.
  if ((first ? users_.any() : !closed_.is_set()) && !sched::destructor_may_wait("a file is left to those who use it")) {
    return sys::failure(EBUSY);
  }
  if (!first) {
    closed_.wait();
    return false;
  }
  // seq_cst: see waits().
  if (net::descriptor* const poller = waits_.load(platform::mo::seq_cst)) poller->close();
  gate_waits_.end();
  if (users_.any() && on_device() && may_use_ring()) net::ring::cancel(fd_);
  users_.wait_until_none();
  // A user may have made it meanwhile.
  if (net::descriptor* const poller = waits_.load(platform::mo::acquire)) poller->close();
  return true;
}

sys::result<void> file_state::close() noexcept {
  const auto ended = end();
  if (!ended || !*ended) return sys::failure(ended ? EBADF : ended.error());
  sys::result<void> done;
  if (origin_ != file_origin::borrowed) {
    // A close can wait, too: a file system with a server may write back what it has in memory.
    const auto call = [this]() noexcept { return sys::close(fd_); };
    // After exit() the calls inside the gate may never leave it.
    done = gates_ == nullptr || sched::is_ending() ? call() : blocking(gates_->closes, call);
  }
  closed_.set();
  return done;
}

sys::result<int> file_state::release() noexcept {
  const auto ended = end();
  if (!ended || !*ended) return sys::failure(ended ? EBADF : ended.error());
  if (was_blocking_) {
    if (const auto now = sys::fcntl(fd_, F_GETFL)) static_cast<void>(sys::fcntl(fd_, F_SETFL, *now & ~O_NONBLOCK));
  }
  closed_.set();
  return fd_;
}

}  // namespace baton::detail
