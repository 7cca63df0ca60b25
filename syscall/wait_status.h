// Public API: how a child process ended or changed, as wait4 and waitid tell it.
#pragma once

#include <sys/wait.h>
#include <string>

namespace baton::sys {

// A plain value. Never blocks; only to_string() allocates.
class wait_status {
 public:
  // The status of a child that ended with exit code 0.
  constexpr wait_status() noexcept = default;
  // The word that wait4 and waitpid store.
  explicit constexpr wait_status(int word) noexcept : word_(word) {}

  // The child ended by exit(code()), or by returning from main. Only the low 8 bits of the code arrive.
  [[nodiscard]] constexpr bool exited() const noexcept { return WIFEXITED(word_); }
  // -1 unless exited().
  [[nodiscard]] constexpr int code() const noexcept { return exited() ? WEXITSTATUS(word_) : -1; }
  // exited() with code 0.
  [[nodiscard]] constexpr bool success() const noexcept { return word_ == 0; }

  // A signal ended the child.
  [[nodiscard]] constexpr bool signaled() const noexcept { return WIFSIGNALED(word_); }
  // -1 unless signaled().
  [[nodiscard]] constexpr int signal() const noexcept { return signaled() ? WTERMSIG(word_) : -1; }
  // The kernel wrote a core, or handed it to the program that core_pattern names.
  [[nodiscard]] constexpr bool core_dumped() const noexcept { return signaled() && WCOREDUMP(word_); }

  // The child has not ended: a signal stopped it (WUNTRACED), or it goes on (WCONTINUED).
  [[nodiscard]] constexpr bool stopped() const noexcept { return WIFSTOPPED(word_); }
  // -1 unless stopped().
  [[nodiscard]] constexpr int stop_signal() const noexcept { return stopped() ? WSTOPSIG(word_) : -1; }
  [[nodiscard]] constexpr bool continued() const noexcept { return WIFCONTINUED(word_); }

  // The word, for WIFEXITED and its kin.
  [[nodiscard]] constexpr int word() const noexcept { return word_; }

  // "exit code 2", "killed by SIGSEGV (core dumped)", "stopped by SIGTSTP", "continued".
  [[nodiscard]] std::string to_string() const;

  friend constexpr bool operator==(const wait_status& a, const wait_status& b) noexcept { return a.word_ == b.word_; }

 private:
  int word_ = 0;
};

}  // namespace baton::sys
