// What a file owns. Internal; users include file.h.
#pragma once

#include <baton/runtime/detail/file_gate.h>
#include <baton/runtime/detail/file_kind.h>
#include <baton/runtime/detail/gate_waits.h>
#include <baton/runtime/event.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/bytes.h>
#include <baton/syscall/result.h>

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace baton::net {
class cancellation;
class descriptor;
enum class poll_side : std::uint8_t;
}  // namespace baton::net

namespace baton::detail {

// The number of users, and whether the file is closed, in one word.
class file_users {
 public:
  // Returns false if the file is closed; then nothing was taken.
  [[nodiscard]] bool enter() noexcept {
    // acquire: pairs with the release in leave(), so that close() comes after what the users did. A user needs nothing
    // from another user.
    if ((word_.fetch_add(one, sched::platform::mo::acquire) & closed) == 0) return true;
    leave();
    return false;
  }
  void leave() noexcept {
    // acq_rel: the last user passes on to close() what all the others did.
    if (word_.fetch_sub(one, sched::platform::mo::acq_rel) == (one | closed)) none_.set();
  }
  // Returns true if this is the first close.
  [[nodiscard]] bool close() noexcept {
    // seq_cst: as above, for a close() that finds no user inside; and see file_state::waits().
    const std::uint32_t before = word_.fetch_or(closed, sched::platform::mo::seq_cst);
    if (before / one == 0) none_.set();
    return (before & closed) == 0;
  }
  // Switches. Requires: close() was called. Waits until no user is inside.
  void wait_until_none() noexcept { none_.wait(); }

  [[nodiscard]] bool is_closed() const noexcept { return (word_.load(sched::platform::mo::seq_cst) & closed) != 0; }
  [[nodiscard]] bool any() const noexcept { return word_.load(sched::platform::mo::acquire) / one != 0; }

 private:
  static constexpr std::uint32_t closed = 1;
  static constexpr std::uint32_t one = 2;

  sched::platform::atomic<std::uint32_t> word_{0};
  event none_;
};

// How the file came to its number.
enum class file_origin : std::uint8_t {
  opened,    // the file's own
  adopted,   // the file's own from now on: O_NONBLOCK may be set
  borrowed,  // another owner's: nothing is set, and nothing closed
};

// Errors of the runtime, which no kernel returns.
inline constexpr int file_closed = 10'001;
inline constexpr int file_expired = 10'002;
inline constexpr int file_cancelled = 10'003;

// It lives until the file that owns it is destroyed, which waits for the users inside. A user does not need the file.
class file_state {
 public:
  // Switches. Fails with EBADF if the number is not open, or with ENOMEM. The number still belongs to the caller then.
  [[nodiscard]] static sys::result<file_state*> make(int number, const std::string& name, file_origin origin) noexcept;
  // The same for a number that open_file() has opened with these flags.
  [[nodiscard]] static sys::result<file_state*> make(int number, const std::string& name, file_origin origin,
                                                     file_kind kind, int flags) noexcept;
  // Switches. Calls close(), unless the file is closed, and destroys the state. Does nothing with null.
  static void drop(file_state* s) noexcept;
  file_state(const file_state&) = delete;
  file_state& operator=(const file_state&) = delete;

  // One public call's use of the file. Also the error of that call is made within it.
  class hold {
   public:
    explicit hold(file_state& s) noexcept : users_(s.users_), entered_(users_.enter()) {}
    ~hold() {
      if (entered_) users_.leave();
    }
    hold(const hold&) = delete;
    hold& operator=(const hold&) = delete;
    // False: the file is closed.
    explicit operator bool() const noexcept { return entered_; }

   private:
    file_users& users_;
    const bool entered_;
  };

  // For the owner of a hold. "Switches." has the meaning that it has in runtime/baton.h.
  sys::result<std::size_t> read(bytes buffer, off_t offset);                             // Switches.
  sys::result<std::size_t> write(const_bytes data, off_t offset, std::size_t& written);  // Switches.
  // Calls call() as a declared call, behind the gate if the file has one. A close() ends the wait for room:
  // file_closed. Switches.
  template <class Call>
  std::invoke_result_t<Call&> behind_gate(Call&& call) {
    if (gates_ == nullptr) return blocking(std::forward<Call>(call));
    gate_entry entry(gates_->threads);
    if (!enter(entry)) return sys::failure(file_closed);
    return call_inside<sched::stay::anywhere>(entry, std::forward<Call>(call));
  }
  // Makes the call, which is itself declared. If it would wait (EAGAIN) and the file does not lie on a device, parks
  // until that side of the file is ready, and makes the call again. Fails with file_closed, file_expired or
  // file_cancelled, and does so before the first call, too. Switches.
  sys::result<std::size_t> when_ready(net::poll_side side, absl::FunctionRef<sys::result<std::size_t>()> call);
  // Returns why a call of that side fails now: 0, file_expired or file_cancelled. Never switches.
  [[nodiscard]] int failure(net::poll_side side) noexcept;
  // What waits for the file fails at that time, or once the context is done. 0, or an errno: EPERM for a file that
  // cannot be polled, ENOMEM, EMFILE ….
  [[nodiscard]] int set_deadline(bool reads, bool writes, std::int64_t deadline_ns) noexcept;
  [[nodiscard]] int set_cancellation(const std::shared_ptr<net::cancellation>& c) noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_; }
  // The file lies on a device: its calls end when the device answers. Otherwise they may last for ever.
  [[nodiscard]] bool on_device() const noexcept { return gates_ != nullptr; }
  [[nodiscard]] bool borrowed() const noexcept { return origin_ == file_origin::borrowed; }
  [[nodiscard]] blocking_gate* gate() const noexcept { return gates_ == nullptr ? nullptr : &gates_->threads; }
  [[nodiscard]] mode_t mode() const noexcept { return kind_.mode; }  // the type is what counts

  // For everyone.
  sys::result<void> close() noexcept;   // Switches.
  sys::result<int> release() noexcept;  // Switches. As close(), but gives the number back.
  [[nodiscard]] int number() const noexcept { return users_.is_closed() ? -1 : fd_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // The status of a failed call: "operation path: ...".
  [[nodiscard]] absl::Status failed(int error, const char* operation) const;

  // At the file's own position.
  static constexpr off_t at_position = -1;

 private:
  file_state(int number, std::string name, file_origin origin, file_kind kind, int flags) noexcept
      : fd_(number),
        origin_(origin),
        kind_(kind),
        direct_(kind.on_device() && (flags & O_DIRECT) != 0),
        may_append_((flags & O_APPEND) != 0 || origin == file_origin::borrowed),
        gates_(kind.on_device() ? &gates_of(kind.device) : nullptr),
        path_(std::move(name)),
        cached_in_a_row_(direct_ ? cannot_ask : 0) {}
  ~file_state();
  [[nodiscard]] static bool is_direct(int number) noexcept;
  [[nodiscard]] bool enter(gate_entry& gate) noexcept;
  sys::result<std::size_t> ask(bytes buffer, off_t offset);
  sys::result<std::size_t> trust(bytes buffer, off_t offset);
  sys::result<std::size_t> read_device(bytes buffer, off_t offset);
  sys::result<std::size_t> declared_read(bytes buffer, off_t offset);
  sys::result<std::size_t> ring_read(bytes buffer, off_t offset);
  [[nodiscard]] bool may_use_ring() const noexcept;
  template <class Probe>
  bool direct_by_ring(Probe&& probe, sys::result<std::size_t>& done);
  sys::result<std::size_t> write_once(const_bytes data, off_t offset);
  [[nodiscard]] bool must_wait(net::poll_side side, std::size_t size) noexcept;
  using any_call = absl::FunctionRef<sys::result<std::size_t>()>;
  sys::result<std::size_t> parked(net::poll_side side, any_call call);
  sys::result<std::size_t> parked_on_a_thread(net::poll_side side, any_call call);
  sys::result<std::size_t> tried_again(any_call call);
  [[nodiscard]] net::descriptor* waits(int& error) noexcept;
  [[nodiscard]] sys::result<bool> end() noexcept;

  // A value of cached_in_a_row_: reads do not ask whether the data is in memory.
  static constexpr std::uint32_t cannot_ask = std::numeric_limits<std::uint32_t>::max();

  const int fd_;
  const file_origin origin_;
  const file_kind kind_;
  bool was_blocking_ = false;  // before this object set O_NONBLOCK
  const bool direct_;          // opened with O_DIRECT
  const bool may_append_;      // false: O_APPEND is not set, unless the program sets it later, which file.h forbids
  device_gates* const gates_;  // null: the file does not lie on a device
  const std::string path_;
  file_users users_;
  gate_waits gate_waits_;
  event closed_;
  // About how many reads in a row have found their data in memory. Or cannot_ask.
  sched::platform::atomic<std::uint32_t> cached_in_a_row_;
  // Whether the file system can say that a transfer would wait. Without that io_uring needs a thread for each.
  enum class nowait : std::uint8_t { unknown, asking, known, refused };
  sched::platform::atomic<nowait> nowait_{nowait::unknown};
  sched::platform::atomic<net::descriptor*> waits_{nullptr};  // made by the first call that would have to wait
};

}  // namespace baton::detail
