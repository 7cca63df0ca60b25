// Public API: how a child changed its state: what wait4 writes as an int.
#pragma once

#include <string>

namespace baton::sys {

// A plain value. Thread-safe, never blocks; only to_string() allocates.
class wait_status {
 public:
  // No change of state: what wait4 gives with WNOHANG while the child runs on. Nothing below is true of it.
  constexpr wait_status() noexcept = default;
  // The int that wait4 and waitpid write.
  explicit constexpr wait_status(int raw) noexcept : raw_(raw) {}

  // The child called exit (or returned from main). code(): the exit code, 0 to 255; -1 unless exited().
  [[nodiscard]] constexpr bool exited() const noexcept { return (raw_ & 0x7f) == 0; }
  [[nodiscard]] constexpr int code() const noexcept { return exited() ? second_byte() : -1; }
  // Exit code 0.
  [[nodiscard]] constexpr bool success() const noexcept { return raw_ == 0; }

  // A signal ended the child. signal(): which one; 0 unless signaled(). core_dumped(): a core file was written.
  [[nodiscard]] constexpr bool signaled() const noexcept { return (raw_ & 0x7f) != 0 && (raw_ & 0x7f) != 0x7f; }
  [[nodiscard]] constexpr int signal() const noexcept { return signaled() ? raw_ & 0x7f : 0; }
  [[nodiscard]] constexpr bool core_dumped() const noexcept { return signaled() && (raw_ & 0x80) != 0; }

  // A signal stopped the child (reported with WUNTRACED). stop_signal(): which one; 0 unless stopped().
  [[nodiscard]] constexpr bool stopped() const noexcept { return (raw_ & 0xff) == 0x7f; }
  [[nodiscard]] constexpr int stop_signal() const noexcept { return stopped() ? second_byte() : 0; }

  // SIGCONT resumed the child (reported with WCONTINUED).
  [[nodiscard]] constexpr bool continued() const noexcept { return raw_ == 0xffff; }

  // Returns the int as the kernel wrote it.
  [[nodiscard]] constexpr int raw() const noexcept { return raw_; }

  // Returns "exit code 1", "killed by SIGSEGV, core dumped", "stopped by SIGTSTP", "continued" or "no change".
  [[nodiscard]] std::string to_string() const;

  friend constexpr bool operator==(wait_status, wait_status) noexcept = default;

 private:
  [[nodiscard]] constexpr int second_byte() const noexcept { return (raw_ >> 8) & 0xff; }

  static constexpr int no_change = 0xff;  // no status of the kernel's has this form
  int raw_ = no_change;
};

}  // namespace baton::sys
