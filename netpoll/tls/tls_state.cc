// See tls_state.h for the protocol.
#include <baton/netpoll/tls/tls_state.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>

#include <algorithm>
#include <cerrno>

namespace baton::net {

namespace {

// Room for two records: fewer calls when many come, and little memory when one comes.
constexpr std::size_t receive_size = std::size_t{32} * 1024;

// How many bytes that no call has read are thrown away before a close.
constexpr std::size_t discarded_max = std::size_t{256} * 1024;

// Pauses of a write while a message of the peer is incomplete.
constexpr std::int64_t pause_first_ns = 100'000;
constexpr std::int64_t pause_max_ns = 50'000'000;

absl::Status truncated() {
  return absl::DataLossError("the connection has ended without close_notify: data may be missing");
}

// Only leak checkers look at it.
sched::platform::atomic<tls_state*> left_at_exit{nullptr};

// Sends what the kernel takes at once. Errors show up in the next call.
void send_now(int fd, byte_queue& queue) noexcept {
  while (!queue.empty()) {
    const long n = calls::send(fd, queue.content().data(), queue.size());
    if (n > 0) {
      queue.consume(static_cast<std::size_t>(n));
    } else if (n != -EINTR) {
      return;
    }
  }
}

}  // namespace

absl::Status tls_state::failed(const absl::Status& why, const char* operation) const {
  return context_status(why, operation, name());
}

long tls_state::receive(int fd, bool& emptied) noexcept {
  const bytes room = engine->incoming.room(receive_size);
  if (room.empty()) return -ENOMEM;
  const long n = calls::receive(fd, room.data(), room.size());
  if (n > 0) {
    engine->incoming.filled(static_cast<std::size_t>(n));
    emptied = static_cast<std::size_t>(n) < room.size();
  } else if (n == 0) {
    peer_ended_ = true;
  }
  if (n <= 0) engine->incoming.release_if_empty();
  return n;
}

void tls_state::send_answers(int fd) noexcept {
  if (sends_ || engine->outgoing.empty()) return;
  send_now(fd, engine->outgoing);
  engine->outgoing.release_if_empty();
}

io_step tls_state::read_step(int fd, io_result& r, descriptor::layer_reads& reads, bytes buffer, bool whole,
                             absl::Status& error) {
  const engine_hold hold(engine_lock_);
  const tls_engine::outcome got = engine->read(buffer.drop(r.count), r.count);
  send_answers(fd);
  if (r.count == buffer.size() || (r.count > 0 && !whole) || got == tls_engine::outcome::ended) {
    engine->incoming.release_if_empty();
    return io_step::done;
  }
  if (got == tls_engine::outcome::failed) {
    error = failed(engine->failure(), "read");
    return io_step::done;
  }
  if (peer_ended_) {
    error = failed(truncated(), "read");
    return io_step::done;
  }
  if (!reads.may_try) {
    engine->incoming.release_if_empty();
    return io_step::again;
  }
  const long n = receive(fd, reads.emptied);
  if (n == -EAGAIN) return io_step::again;
  if (n >= 0 || n == -EINTR) return io_step::more;
  r.error = static_cast<int>(-n);
  return io_step::done;
}

template <descriptor::amount Amount>
absl::StatusOr<std::size_t> tls_state::read(bytes buffer) {
  absl::Status error;
  const io_result r = io.read_layered(
      [&](int fd, io_result& so_far, descriptor::layer_reads& reads) {
        return read_step(fd, so_far, reads, buffer, Amount == descriptor::amount::full, error);
      },
      [&](const io_result& bad) { error = io.status_of(bad, "read", name()); });
  if (error.ok()) return r.count;
  return error;
}

template absl::StatusOr<std::size_t> tls_state::read<descriptor::amount::some>(bytes buffer);
template absl::StatusOr<std::size_t> tls_state::read<descriptor::amount::full>(bytes buffer);

io_step tls_state::encrypt(int fd, io_result& r, tls_output& output, std::int64_t& pause_ns, absl::Status& error,
                           const char* operation) {
  {
    const engine_hold hold(engine_lock_);
    sends_ = false;
    tls_engine::outcome got = tls_engine::outcome::done;
    // A second close_write() encrypts nothing. It sends what the first one may have left.
    if (!output.is_finished() && !write_ended_) got = output.encrypt(*engine);
    if (got == tls_engine::outcome::failed) {
      error = failed(engine->failure(), operation);
      send_answers(fd);  // the alert
      return io_step::done;
    }
    if (got == tls_engine::outcome::done) {
      if (output.is_end()) write_ended_ = true;
      in_flight_.swap(engine->outgoing);
      sends_ = !in_flight_.empty();
      if (sends_) return io_step::more;
      in_flight_.release_if_empty();
      engine->outgoing.release_if_empty();
      return output.is_finished() || write_ended_ ? io_step::done : io_step::more;
    }
    // A message of the peer has come in part. A read may be under way, or none.
    bool emptied = false;
    const long n = receive(fd, emptied);
    if (n != -EAGAIN && n != -EINTR) io.tell_reader();  // it waits for the engine's lock, or sees what came
    if (n > 0 || n == -EINTR) return io_step::more;
    if (n != -EAGAIN) {
      if (n < 0) r.error = static_cast<int>(-n);
      if (n == 0) error = failed(truncated(), operation);
      return io_step::done;
    }
  }
  io.pause(poll_side::write, sched::platform::now_ns() + pause_ns);
  pause_ns = std::min(2 * pause_ns, pause_max_ns);
  return io_step::more;
}

io_step tls_state::send_step(int fd, io_result& r, tls_output& output, std::int64_t& pause_ns, absl::Status& error,
                             const char* operation) {
  if (write_ended_ && !output.is_end()) {
    r.error = EPIPE;
    return io_step::done;
  }
  for (bool sent = false;; sent = true) {
    if (in_flight_.empty()) {
      r.error = output.prepare();
      if (r.error != 0) return io_step::done;
      if (encrypt(fd, r, output, pause_ns, error, operation) == io_step::done) return io_step::done;
      // With more to send, a deadline and other fibers get their turn. The end of a finished output cannot fail any
      // more.
      if (sent || in_flight_.empty()) return io_step::more;
    }
    const long n = calls::send(fd, in_flight_.content().data(), std::min(in_flight_.size(), call_max));
    if (n == -EAGAIN) return io_step::again;
    if (n < 0 && n != -EINTR) {
      r.error = static_cast<int>(-n);
      return io_step::done;
    }
    if (n > 0) in_flight_.consume(static_cast<std::size_t>(n));
    if (!in_flight_.empty()) return io_step::more;
  }
}

absl::Status tls_state::send(tls_output& output, const char* operation) {
  absl::Status error;
  std::int64_t pause_ns = pause_first_ns;
  (void)io.transfer(
      poll_side::write, sched::wait_reason::descriptor_write,
      [&](int fd, io_result& r) {
        // Until the write is done, the peer must not take a part of the data for all of it.
        if (output.is_data() && !write_ended_) cut_off_ = true;
        const io_step step = send_step(fd, r, output, pause_ns, error, operation);
        if (step == io_step::done && r.ok() && error.ok() && output.is_data()) cut_off_ = false;
        return step;
      },
      [&](const io_result& bad) { error = io.status_of(bad, operation, name()); });
  return error.ok() ? error : with_written(error, output.taken());
}

io_step tls_state::handshake_step(int fd, io_result& r, descriptor::layer_reads& reads, tls_engine::outcome& got) {
  got = engine->shake_hands();
  if (got != tls_engine::outcome::wants_bytes || !engine->outgoing.empty() || peer_ended_) return io_step::done;
  if (!reads.may_try) return io_step::again;
  const long n = receive(fd, reads.emptied);
  if (n == -EAGAIN) return io_step::again;
  if (n >= 0 || n == -EINTR) return io_step::more;
  r.error = static_cast<int>(-n);
  return io_step::done;
}

absl::Status tls_state::shake_hands(const tls_handshake_options& options) {
  constexpr const char* operation = "tls handshake";
  const std::string& host = engine->server_name();
  const std::string object = host.empty() ? name() : name() + " (" + host + ")";
  const bool has_limit = options.timeout.ns() != sched::platform::forever_ns;
  if (has_limit) io.set_deadlines(options.timeout.deadline_ns());
  if (options.ctx.get() != nullptr) io.set_cancellation(options.ctx.get());
  absl::Status error;
  for (tls_engine::outcome got = tls_engine::outcome::wants_bytes; got == tls_engine::outcome::wants_bytes;) {
    (void)io.read_layered(
        [&](int fd, io_result& r, descriptor::layer_reads& reads) { return handshake_step(fd, r, reads, got); },
        [&](const io_result& bad) { error = io.status_of(bad, operation, object); });
    if (!error.ok()) return error;
    if (got == tls_engine::outcome::failed) {
      (void)io.with_fd([this](int fd) {
        send_answers(fd);
        return 0L;
      });
      return context_status(engine->failure(), operation, object);
    }
    no_output none;
    if (absl::Status s = send(none, operation); !s.ok()) return s;
    if (got == tls_engine::outcome::wants_bytes && peer_ended_) {
      return absl::UnavailableError(describe(operation, object, "the peer has closed the connection"));
    }
  }
  if (has_limit) io.set_deadlines(sched::platform::forever_ns);
  if (options.ctx.get() != nullptr) io.set_cancellation(nullptr);
  return absl::OkStatus();
}

// No other call is inside. What cannot be sent at once is not sent: a peer that does not read must not hold up a close.
void tls_state::before_close(int fd) noexcept {
  send_now(fd, in_flight_);
  if (in_flight_.empty()) {
    try {
      if (engine->is_ready() && !write_ended_ && !cut_off_) static_cast<void>(engine->say_end());
    } catch (const std::bad_alloc&) {  // the error could not be described
    }
    send_now(fd, engine->outgoing);
  }
  // Bytes that have come and are not read (tickets; what a client has sent after a handshake that failed) would make
  // the kernel reset the connection, and the peer could lose what was sent last. MSG_TRUNC: they are not copied.
  for (std::size_t left = discarded_max; left > 0;) {
    const long n = calls::discard(fd, left);
    if (n <= 0) break;
    left -= static_cast<std::size_t>(n);
  }
}

void tls_state::leave_at_exit() noexcept {
  // relaxed: no thread reads it.
  next_left_ = left_at_exit.exchange(this, mo::relaxed);
  io.leave_at_exit();
}

}  // namespace baton::net
