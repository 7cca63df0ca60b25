// An open file descriptor that parks the agent instead of the thread. It consists of the number, the lock that says
// which agents may use the number, and the poll descriptor, and of the loops that try a call and wait where the call
// would block. Streams, listeners, and whatever else the kernel can poll (pipes, pidfds) are built on it.
//
// Thread-safe, except for attach() and destruction. All members marked "Switches." may switch, and may be called from
// fibers and from plain threads.
#pragma once

#include <baton/netpoll/cancellation.h>
#include <baton/netpoll/fd_mutex.h>
#include <baton/netpoll/poll_descriptor.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/wait_reason.h>
#include <baton/syscall/owned_fd.h>

#include <absl/status/status.h>
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace baton::net {

// How an operation ended, without the cost of a status: at most one of failure and error is set.
struct io_result {
  std::size_t count = 0;  // bytes moved, also before a failure; or what the call returned
  int error = 0;          // an errno
  poll_failure failure = poll_failure::none;
  poll_side side = poll_side::read;  // the side that failed

  [[nodiscard]] bool ok() const noexcept { return error == 0 && failure == poll_failure::none; }
};

// The kernel moves at most 2^31 - 4096 bytes per call. A read that is cut by that limit must not look like a short one.
inline constexpr std::size_t call_max = std::size_t{1} << 30;

// The result of one try.
enum class io_step : std::uint8_t {
  done,   // finished, with io_result::count or ::error set
  more,   // made progress; try again at once
  again,  // would block
};

class descriptor final {
 public:
  // What is known of the edges of an open file, besides that epoll reports them.
  //   Short reads. A read that returns less than asked for has emptied the descriptor. More data, an end, or an error
  //   makes a new edge. Of TCP: fewer bytes. Of UDP: fewer datagrams of a recvmmsg. Not true of Unix sockets
  //   (descriptors in flight split reads), nor of terminals.
  //   Room. The kernel reports room after each message that has left the send buffer, although no write has failed. So
  //   the descriptor is registered for its write side only while a write waits.
  enum class edges : std::uint8_t {
    plain,  // neither is known
    tcp,    // short reads
    udp,    // short reads, room
    local,  // of Unix sockets: room
  };

  descriptor() noexcept = default;
  // Requires: close() returned true, or the descriptor was never attached. See close_and_delete().
  ~descriptor();
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;

  // Takes over fd, which is non-blocking, and registers it. Call it once, before anything else. Returns 0 or an errno
  // (EPERM: not pollable, ENOMEM, ENOSPC ...). After an error fd is closed. Never switches.
  [[nodiscard]] int attach(int fd, edges known = edges::plain) noexcept;
  // The same, but after an error fd still belongs to its owner, and the call can be tried again.
  [[nodiscard]] int attach(sys::owned_fd& fd, edges known = edges::plain) noexcept;
  // The same for a number that others have made, and perhaps use. Sets O_NONBLOCK, which other descriptors of the same
  // open file see, too. Returns 0 or an errno (also EBADF); after an error the number is unchanged and still belongs to
  // the caller.
  [[nodiscard]] int adopt(int fd, edges known = edges::plain) noexcept;

  // Switches. Holds the lock of one side and calls step(fd, result), which returns an io_step, until the step is done.
  // Waits for an edge whenever the step would block. Fails when the descriptor is closed or cancelled or the side's
  // deadline has passed, before the first try as well. EINTR is up to the step. If the result is not ok(),
  // failed(result) is called before the hold ends. So it may still use the owner, although a close() elsewhere waits to
  // destroy that. Both may throw.
  template <class Step, class Failed>
  io_result transfer(poll_side side, sched::wait_reason why, Step&& step, Failed&& failed) {
    // `side` is a constant at every call.
    return side == poll_side::read ? transfer_on<poll_side::read>(why, step, failed)
                                   : transfer_on<poll_side::write>(why, step, failed);
  }

  // Switches. Reads a byte stream: call(fd, at, n) reads n bytes to offset `at` of the buffer, and returns the count,
  // or -errno. After a read that emptied the descriptor the next one waits without a try. failed: as for transfer().
  // `some`: one read. `full`: reads until `size` bytes have come or the stream ends, all in one hold.
  enum class amount : std::uint8_t { some, full };
  template <amount Amount, class Call, class Failed>
  io_result read_stream(std::size_t size, Call&& call, Failed&& failed) {
    io_result r;
    {
      const fd_hold<fd_mutex::side::read> held(mutex_);
      if (held) {
        read_and_wait<Amount>(size, call, r);
      } else {
        r.failure = poll_failure::closed;
      }
      if (!r.ok()) {
        failed(std::as_const(r));
        return r;
      }
    }
    sched::yield_if_due();
    return r;
  }

  // Returns why the operations of that side fail now, if they do. Never switches.
  [[nodiscard]] poll_failure failure(poll_side side) noexcept {
    const fd_reference held(mutex_);
    return held ? poll_->failure(side) : poll_failure::closed;
  }

  // Switches. Reads through a layer that has a buffer of its own, such as TLS. step(fd, result, reads) tries to finish
  // with what the layer has. While reads.may_try is true it may also read from fd, and says what it found:
  // reads.emptied is true if a read came back shorter than its buffer. io_step::again: the layer needs more bytes, and
  // there are none: reads.may_try was false, or a read would block. failed: as for transfer().
  struct layer_reads {
    bool may_try = false;
    bool emptied = false;
  };
  template <class Step, class Failed>
  io_result read_layered(Step&& step, Failed&& failed) {
    io_result r;
    {
      const fd_hold<fd_mutex::side::read> held(mutex_);
      if (held) {
        step_and_wait(step, r);
      } else {
        r.failure = poll_failure::closed;
      }
      if (!r.ok()) {
        failed(std::as_const(r));
        return r;
      }
    }
    sched::yield_if_due();
    return r;
  }

  // Calls use(fd) while the descriptor cannot be closed; use() returns a result >= 0 or -errno. Returns that result, or
  // -EBADF if the descriptor is closed. Switches only if use() does.
  template <class Use>
  long with_fd(Use&& use) {
    const fd_reference held(mutex_);
    return held ? use(fd_) : -EBADF;
  }

  // At this point of CLOCK_MONOTONIC the side begins to fail, also for agents that already wait.
  // sched::platform::forever_ns: no deadline. Never switches. May throw std::bad_alloc.
  void set_deadline(poll_side side, std::int64_t deadline_ns);
  // The same for both sides. If it throws, neither has changed.
  void set_deadlines(std::int64_t deadline_ns);

  // From when `c` is done until it is replaced, both sides fail with its error. Null: no cancellation. Never switches.
  void set_cancellation(const std::shared_ptr<cancellation>& c);
  // The same for one side. The other side keeps its own.
  void set_cancellation(poll_side side, const std::shared_ptr<cancellation>& c);

  // Switches. Requires: the caller holds the side's lock, within a step. Waits until the point in time, or a failure.
  void pause(poll_side side, std::int64_t until_ns) noexcept;

  // Never switches. For a caller without the read lock that has received: the kernel may report no edge for bytes that
  // are gone when it is asked. The read that waits, or the next one, tries.
  void tell_reader() noexcept;

  // Switches. Makes all operations fail with `closed`, blocked ones and later ones. Waits until the last operation has
  // left, and closes the number. Every call, not only the first, returns after that. So operations that began before
  // touch nothing of the descriptor any more. Idempotent. If a socket lingers (SO_LINGER), closing it takes as long as
  // that; it is a declared call. Returns false if this thread called exit() and an operation is inside that may never
  // leave. The descriptor must not be destroyed then.
  bool close() noexcept {
    return close([](int) noexcept {});
  }
  // The same. The first of the calls calls last_use(fd), which may switch, when no operation is inside any more and the
  // number is still open. All of them return after that.
  template <class LastUse>
  bool close(LastUse&& last_use) noexcept {
    if (poll_ == nullptr) return true;
    return mutex_.close([this]() noexcept { end_use(); },
                        [&]() noexcept {
                          last_use(fd_);
                          deregister();
                          close_number();
                        });
  }
  // Switches. As close(), but does not close the number: returns it, and it belongs to the caller. Returns -1 if the
  // descriptor was closed before, was never attached, or where close() returns false.
  [[nodiscard]] int release() noexcept {
    return release([] {});
  }
  template <class LastUse>
  [[nodiscard]] int release(LastUse&& last_use) noexcept {
    int number = -1;
    if (poll_ == nullptr) return number;
    const bool ended = mutex_.close([this]() noexcept { end_use(); },
                                    [&]() noexcept {
                                      last_use();
                                      deregister();
                                      number = fd_;
                                    });
    return ended ? number : -1;
  }
  // Call this after close() returned false. It keeps the memory reachable, because no thread will free it.
  void leave_at_exit() noexcept;
  [[nodiscard]] bool is_closed() const noexcept { return mutex_.is_closed(); }

  // Returns the number, or -1 before attach() and after close(). The descriptor keeps owning it: do not close it, nor
  // make it blocking.
  [[nodiscard]] int native_handle() const noexcept { return is_closed() ? -1 : fd_; }

  // Returns true if an agent waits for an edge of that side. A hint, for dumps and tests.
  [[nodiscard]] bool has_waiter(poll_side side) noexcept { return poll_ != nullptr && poll_->slot(side).has_waiter(); }

  // Returns how many operations are inside, queueing ones included. Also a hint.
  [[nodiscard]] std::uint64_t users() const noexcept { return mutex_.users(); }

  // Turns a failed result into a status: CANCELLED, DEADLINE_EXCEEDED, the context's error, or that of errno.
  [[nodiscard]] absl::Status status_of(const io_result& r, const char* operation, const std::string& object) const;

 private:
  static constexpr fd_mutex::side lock_of(poll_side side) noexcept {
    return side == poll_side::read ? fd_mutex::side::read : fd_mutex::side::write;
  }

  [[nodiscard]] bool short_reads_mean_empty() const noexcept { return edges_ == edges::tcp || edges_ == edges::udp; }
  [[nodiscard]] bool reports_all_room() const noexcept { return edges_ == edges::udp || edges_ == edges::local; }

  // The wait of one write for room. The holder of the write lock has it.
  class room_watch {
   public:
    explicit room_watch(descriptor& d) noexcept : d_(d) {}
    room_watch(const room_watch&) = delete;
    room_watch& operator=(const room_watch&) = delete;
    ~room_watch() {
      if (begun_) (void)d_.watch_room(false);
    }
    // Call it after a try that found no room. From then on edges of the write side come, one of them at once if there
    // is room by now. Returns 0 or an errno.
    [[nodiscard]] int begin() noexcept {
      if (begun_ || !d_.reports_all_room()) return 0;
      const int error = d_.watch_room(true);
      begun_ = error == 0;
      return error;
    }

   private:
    descriptor& d_;
    bool begun_ = false;
  };
  // Returns 0 or an errno.
  [[nodiscard]] int watch_room(bool on) noexcept;

  template <poll_side Side, class Step, class Failed>
  io_result transfer_on(sched::wait_reason why, Step& step, Failed& failed) {
    io_result r;
    r.side = Side;
    {
      const fd_hold<lock_of(Side)> held(mutex_);
      if (held) {
        try_and_wait(Side, why, step, r);
      } else {
        r.failure = poll_failure::closed;
      }
      if (!r.ok()) {
        failed(std::as_const(r));
        return r;
      }
    }
    sched::yield_if_due();
    return r;
  }

  // Requires: the caller holds the side's lock.
  template <class Step>
  void try_and_wait(poll_side side, sched::wait_reason why, Step& step, io_result& r) {
    poll_slot& slot = poll_->slot(side);
    room_watch room(*this);
    for (;;) {
      r.failure = poll_->failure(side);
      if (r.failure != poll_failure::none) break;
      const io_step got = step(fd_, r);
      if (got == io_step::done) break;
      if (got == io_step::more) {
        sched::yield_if_due();
        continue;
      }
      if (side == poll_side::write) r.error = room.begin();
      if (r.error != 0) break;
      // If the slot was nil before the try, only an edge that came since can have changed it, and wait() sees that
      // edge.
      if (!slot.clear()) poll_->wait(side, why);
    }
    // Others may rely on the slot (read_stream): they must try first.
    if (short_reads_mean_empty() && side == poll_side::read) slot.mark();
  }

  template <amount Amount, class Call>
  void read_and_wait(std::size_t size, Call& call, io_result& r) {
    poll_slot& slot = poll_->slot(poll_side::read);
    std::size_t done = 0;
    std::size_t want = std::min(size, call_max);
    bool just_try = false;  // an edge was used up without a try yet, or there is more for sure
    for (;;) {
      r.failure = poll_->failure(poll_side::read);
      if (r.failure != poll_failure::none) break;
      if (!just_try) {
        if (slot.is_nil() && !poll_->hung_up()) {
          poll_->wait(poll_side::read, sched::wait_reason::descriptor_read);
          just_try = true;
          continue;
        }
        slot.clear();
      }
      const long n = call(fd_, done, want);
      if (n > 0) {
        const auto got = static_cast<std::size_t>(n);
        done += got;
        const bool emptied = got < want && short_reads_mean_empty();
        if (Amount == amount::some || done == size) {
          r.count = done;
          if (emptied) return;  // an edge since the clear() is still in the slot
          break;
        }
        want = std::min(size - done, call_max);
        just_try = !emptied;
        sched::yield_if_due();
        continue;
      }
      if (n == 0) break;
      if (n == -EINTR) {
        just_try = true;
      } else if (n == -EAGAIN) {
        poll_->wait(poll_side::read, sched::wait_reason::descriptor_read);
        just_try = true;
      } else {
        r.error = static_cast<int>(-n);
        break;
      }
    }
    r.count = done;
    slot.mark();  // the next read must try first
  }

  // As read_and_wait(), for read_layered(). Marks the slot at the end, unless the step has emptied the descriptor, or
  // has finished without a look at it.
  template <class Step>
  void step_and_wait(Step& step, io_result& r) {
    poll_slot& slot = poll_->slot(poll_side::read);
    layer_reads reads;
    bool used_edge = false;  // an edge was used up, and no read has found the descriptor empty since
    // The step may throw.
    const struct marker {
      ~marker() {
        if (used_edge || !r.ok()) slot.mark();  // the next read must try first
      }
      poll_slot& slot;
      const bool& used_edge;
      const io_result& r;
    } at_end{slot, used_edge, r};
    for (;;) {
      r.failure = poll_->failure(poll_side::read);
      if (r.failure != poll_failure::none) break;
      if (!used_edge && (!slot.is_nil() || poll_->hung_up())) {
        slot.clear();
        used_edge = true;
      }
      reads = {used_edge, false};
      const io_step got = step(fd_, r, reads);
      if (reads.emptied) used_edge = false;
      if (got == io_step::done) break;
      if (got == io_step::more) {
        sched::yield_if_due();
        continue;
      }
      poll_->wait(poll_side::read, sched::wait_reason::descriptor_read);
      used_edge = true;
    }
  }

  // One context of the descriptor, and the sides that fail once it is done.
  struct subscription final : cancellation::node {
    explicit subscription(descriptor& d) noexcept : owner(d) {}
    void cancelled() noexcept override { owner.fail_sides(*this); }

    descriptor& owner;
    std::shared_ptr<cancellation> context;
    bool of_read = false;
    bool of_write = false;
  };

  void fail_sides(const subscription& s) noexcept;
  void subscribe(subscription& s, std::shared_ptr<cancellation> c, bool of_read, bool of_write) noexcept
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(context_lock_);
  void replace_contexts(bool of_read, bool of_write, const std::shared_ptr<cancellation>& c);
  // The parts of close().
  void end_use() noexcept;
  void deregister() noexcept;
  void close_number() noexcept;

  int fd_ = -1;
  edges edges_ = edges::plain;
  poll_descriptor* poll_ = nullptr;
  fd_mutex mutex_;

  descriptor* next_left_ = nullptr;  // see leave_at_exit()

  mutable sched::platform::spin_lock context_lock_;
  // A context of both sides has one subscription: the reader's. Then the writer's is empty.
  subscription reader_ ABSL_GUARDED_BY(context_lock_){*this};
  subscription writer_ ABSL_GUARDED_BY(context_lock_){*this};
};

// What ends a descriptor's use. A state with something to end besides the descriptor has a member
// last_use(last_use_for), or before_close(fd) if it has a last word for the peer. A state whose descriptor belongs to
// another object has leave_at_exit().
enum class last_use_for : std::uint8_t { close, release };

// Switches. Closes the descriptor `io` of a state, as descriptor::close() does.
template <class State>
bool close_state(State& s) noexcept {
  if constexpr (requires { s.last_use(last_use_for::close); }) {
    return s.io.close([&s](int) noexcept { s.last_use(last_use_for::close); });
  } else if constexpr (requires { s.before_close(0); }) {
    return s.io.close([&s](int fd) noexcept { s.before_close(fd); });
  } else {
    return s.io.close();
  }
}

// Switches. Gives up the descriptor `io` of a state, as descriptor::release() does.
template <class State>
int release_state(State& s) noexcept {
  if constexpr (requires { s.last_use(last_use_for::release); }) {
    return s.io.release([&s]() noexcept { s.last_use(last_use_for::release); });
  } else {
    return s.io.release();
  }
}

// Switches. Closes the descriptor `io` of *s and deletes *s. At exit, if an operation is inside that may never leave,
// *s is left to it. Every owner of a descriptor ends it with this function.
template <class State>
void close_and_delete(State* s) noexcept {
  if (close_state(*s)) {
    delete s;
  } else if constexpr (requires { s->leave_at_exit(); }) {
    s->leave_at_exit();
  } else {
    s->io.leave_at_exit();
  }
}

}  // namespace baton::net
