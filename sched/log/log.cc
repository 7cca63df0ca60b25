// Which descriptor. Standard error is identified by its file (device, inode), not by its number. The file is noted when
// the program is loaded, before user code can close anything. It is noted again when the runtime starts, because main()
// may have redirected it by then, and whenever the user calls log_to_stderr(). A text goes to
//
//   1. descriptor 2, if it is that file;
//   2. descriptor 2, if it is another file but can only be a redirection: children inherit it (they do not inherit what
//      baton opens), it is open for writing, and it is a terminal, the null device, a pipe's writing end, or a file
//      opened for appending (before the runtime starts, and in the child of a fork, any file). A socket never counts,
//      nor does a file that is written anywhere else: it may be a connection or a database that got the number when it
//      was free;
//   3. the runtime's own descriptor of that file (`kept`, close-on-exec, a high number), if it still is that file;
//   4. nowhere: the text is lost and counted.
//
// Because of the kept descriptor a pipe on standard error does not end before the process does, although the user
// closes descriptor 2. A later log_to_stderr() closes the kept descriptor.
//
// Without blocking. The file may be shared with other processes, so its flags stay as they are:
//
//   socket           MSG_DONTWAIT
//   pipe, terminal   through a file description of the runtime's own with O_NONBLOCK, opened by way of /proc; the kept
//                    descriptor is one. Where it cannot be opened (no /proc, another user's terminal), RWF_NOWAIT;
//                    where the kernel does not support that for pipes, as much as poll() promises
//   anything else    write(): a disk. It may be slow, but no reader holds it up
//
// A text that fits PIPE_BUF reaches a pipe as a whole or not at all. Writing raises no SIGPIPE.
//
// Nothing here takes a lock. Two simultaneous texts do not mix where the kernel writes each as a whole. Which of the
// two says how many were lost does not matter.
#include <baton/sched/log/log.h>

#include <baton/sched/platform/atomic.h>
#include <baton/sched/platform/clock.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <initializer_list>

namespace baton::sched {

namespace {

namespace mo = platform::mo;

constexpr int standard_error = 2;
constexpr std::int64_t patience_ns = 1'000'000'000;
constexpr std::size_t terminal_takes = 64;  // bytes to write to a terminal that poll() calls writable

// What fstat() says about a file, as one number; 0: no file.
platform::atomic<std::uint64_t> began_with{0};
// The process in which a start of the runtime, or the user, settled what standard error is. A child of a fork is
// another process: it arranges its own.
platform::atomic<pid_t> settled_in{0};
platform::atomic<int> kept{-1};
platform::atomic<std::uint64_t> lost{0};
platform::atomic<bool> cut{false};  // the last text ended in the middle of a line

class errno_kept {
 public:
  errno_kept() noexcept : saved_(errno) {}
  ~errno_kept() { errno = saved_; }
  errno_kept(const errno_kept&) = delete;
  errno_kept& operator=(const errno_kept&) = delete;

 private:
  int saved_;
};

// During its lifetime a write to a pipe without a reader returns EPIPE and raises no signal.
class no_sigpipe {
 public:
  no_sigpipe() noexcept {
    sigset_t pending;
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~no_sigpipe() {
    // The kernel sends the SIGPIPE of a write to the thread that writes. A SIGPIPE that was pending before stays
    // pending.
    const timespec at_once{0, 0};
    if (!was_pending_) static_cast<void>(::sigtimedwait(&pipe_, nullptr, &at_once));
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  no_sigpipe(const no_sigpipe&) = delete;
  no_sigpipe& operator=(const no_sigpipe&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_pending_;
};

std::uint64_t file_of(const struct stat& s) noexcept {
  std::uint64_t hash = s.st_dev + 1;
  for (const std::uint64_t part : {std::uint64_t{s.st_ino}, std::uint64_t{s.st_rdev}}) {
    hash = (hash ^ part) * 0x9e37'79b9'7f4a'7c15U;
    hash ^= hash >> 29U;
  }
  return hash | 1U;
}

bool is_terminal(int fd, const struct stat& s) noexcept { return S_ISCHR(s.st_mode) && ::isatty(fd) == 1; }
bool is_null_device(const struct stat& s) noexcept { return S_ISCHR(s.st_mode) && s.st_rdev == ::makedev(1, 3); }

// Returns true if the descriptor is open for writing and children inherit it.
bool is_inherited_for_writing(int fd) noexcept {
  const int of_descriptor = ::fcntl(fd, F_GETFD);
  const int of_file = ::fcntl(fd, F_GETFL);
  return of_descriptor >= 0 && of_file >= 0 && (of_descriptor & FD_CLOEXEC) == 0 && (of_file & O_ACCMODE) != O_RDONLY;
}

// Before the runtime starts, main() may set up anything as standard error except a connection.
bool is_likely(int fd, const struct stat& s) noexcept { return !S_ISSOCK(s.st_mode) && is_inherited_for_writing(fd); }

bool is_redirection(int fd, const struct stat& s) noexcept {
  if (!is_likely(fd, s)) return false;
  if (settled_in.load(mo::relaxed) != ::getpid()) return true;
  if (is_terminal(fd, s) || is_null_device(s)) return true;
  const int flags = ::fcntl(fd, F_GETFL);
  if (S_ISFIFO(s.st_mode)) return (flags & O_ACCMODE) == O_WRONLY;
  return S_ISREG(s.st_mode) && (flags & O_APPEND) != 0;
}

// Returns the descriptor for a text, or -1 if there is none.
int choose() noexcept {
  const std::uint64_t file = began_with.load(mo::relaxed);
  const int own = kept.load(mo::relaxed);
  struct stat s {};
  const bool own_is_it = file != 0 && own >= 0 && ::fstat(own, &s) == 0 && file_of(s) == file;
  if (::fstat(standard_error, &s) == 0) {
    if (file_of(s) == file) return own_is_it ? own : standard_error;
    if (is_redirection(standard_error, s)) return standard_error;
  }
  return own_is_it ? own : -1;
}

// Opens the same pipe or terminal again, for a file description of the runtime's own. Returns -1 if that fails.
int open_again(int fd) noexcept {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return ::open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

// Writes to a pipe or terminal for which there is no such description.
ssize_t write_if_it_takes(int fd, const struct stat& s, std::string_view text) noexcept {
  iovec part{const_cast<char*>(text.data()), text.size()};
  const ssize_t n = ::pwritev2(fd, &part, 1, -1, RWF_NOWAIT);
  if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL && errno != EPERM)) return n;
  pollfd what{fd, POLLOUT, 0};
  if (::poll(&what, 1, 0) != 1 || (what.revents & POLLOUT) == 0) {
    errno = EAGAIN;
    return -1;
  }
  return ::write(fd, text.data(), std::min(text.size(), S_ISFIFO(s.st_mode) ? std::size_t{PIPE_BUF} : terminal_takes));
}

// Like write(2), but fails with EAGAIN instead of waiting.
ssize_t write_some(int fd, std::string_view text) noexcept {
  struct stat s {};
  if (::fstat(fd, &s) != 0) return -1;
  if (S_ISSOCK(s.st_mode)) return ::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (!S_ISFIFO(s.st_mode) && !is_terminal(fd, s)) return ::write(fd, text.data(), text.size());
  const no_sigpipe guard;
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) != 0) return ::write(fd, text.data(), text.size());
  const int own = open_again(fd);
  if (own < 0) return write_if_it_takes(fd, s, text);
  const ssize_t n = ::write(own, text.data(), text.size());
  const int error = errno;
  ::close(own);
  errno = error;
  return n;
}

// Waits until poll() calls the descriptor writable. Returns false if that does not happen in time.
bool wait_for_a_reader(int fd, std::int64_t until_ns) noexcept {
  const std::int64_t left = until_ns - platform::now_ns();
  if (until_ns == 0 || left <= 0) return false;
  pollfd what{fd, POLLOUT, 0};
  const int ms = static_cast<int>(std::min<std::int64_t>(left / 1'000'000 + 1, 1'000));
  // The descriptor may be writable for smaller texts, but not for this one. A pause keeps this loop from spinning.
  if (::poll(&what, 1, ms) == 1) static_cast<void>(::poll(nullptr, 0, 1));
  return (what.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
}

std::size_t write_until(int fd, std::string_view text, std::int64_t until_ns) noexcept {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write_some(fd, text.substr(done));
    if (n > 0) {
      done += static_cast<std::size_t>(n);
      continue;
    }
    const bool again = n < 0 && (errno == EINTR || (errno == EAGAIN && wait_for_a_reader(fd, until_ns)));
    if (!again) break;
  }
  return done;
}

void say_what_is_lost(int fd, std::int64_t until_ns) noexcept {
  const std::uint64_t n = lost.exchange(0, mo::relaxed);
  if (n == 0) return;
  char text[96];
  const int size = std::snprintf(text, sizeof text, "baton: %llu of its reports before this one %s lost\n",
                                 static_cast<unsigned long long>(n), n == 1 ? "was" : "were");
  if (write_until(fd, {text, static_cast<std::size_t>(size)}, until_ns) == 0) lost.fetch_add(n, mo::relaxed);
}

bool log_to(int fd, std::string_view text, std::int64_t until_ns) noexcept {
  if (cut.load(mo::relaxed) && write_until(fd, "\n", until_ns) == 1) cut.store(false, mo::relaxed);
  say_what_is_lost(fd, until_ns);
  const std::size_t done = write_until(fd, text, until_ns);
  if (done > 0 && text[done - 1] != '\n') cut.store(true, mo::relaxed);
  return done == text.size();
}

// Makes the kept descriptor one of the file on descriptor 2, or closes it. Its number stays the same, because another
// thread may be about to write to it. If the user has closed it, the number now belongs to another file.
void keep(bool there, const struct stat& s) noexcept {
  const int own = kept.load(mo::relaxed);
  struct stat now {};
  const bool ours = own >= 0 && ::fstat(own, &now) == 0 && file_of(now) == began_with.load(mo::relaxed);
  if (there && ours && file_of(s) == file_of(now)) return;
  if (!there) {
    kept.store(-1, mo::relaxed);
    if (ours) ::close(own);
    return;
  }
  int fresh = S_ISFIFO(s.st_mode) || is_terminal(standard_error, s) ? open_again(standard_error) : -1;
  if (fresh < 0) fresh = ::fcntl(standard_error, F_DUPFD_CLOEXEC, 3);
  if (fresh < 0) {
    if (!ours) kept.store(-1, mo::relaxed);
    return;
  }
  int number = -1;
  if (ours) {
    number = ::dup3(fresh, own, O_CLOEXEC);
  } else {
    // A high number: the low ones are for the user.
    for (const int from : {768, 192, 3}) {
      if (number < 0) number = ::fcntl(fresh, F_DUPFD_CLOEXEC, from);
    }
  }
  ::close(fresh);
  kept.store(number, mo::relaxed);
}

void note(bool with_copy) noexcept {
  struct stat s {};
  const bool there = ::fstat(standard_error, &s) == 0;
  if (with_copy) keep(there && !is_null_device(s), s);
  began_with.store(there ? file_of(s) : 0, mo::relaxed);
}

// Runs before the constructors of the user's statics. It makes no copy yet: a program that does not start the runtime
// has no more descriptors than without it.
__attribute__((constructor(101))) void at_load() {
  open_standard_descriptors();
  const errno_kept guard;
  note(false);
}

}  // namespace

bool log_text(std::string_view text, std::int64_t wait_until_ns) noexcept {
  const errno_kept guard;
  if (text.empty()) return true;
  const int fd = choose();
  const bool all = fd >= 0 && log_to(fd, text, wait_until_ns);
  if (!all) lost.fetch_add(1, mo::relaxed);
  return all;
}

bool try_log_text(std::string_view text) noexcept {
  const errno_kept guard;
  const int fd = text.empty() ? -1 : choose();
  return fd >= 0 && log_to(fd, text, 0);
}

std::int64_t log_patience_ends_ns() noexcept { return platform::now_ns() + patience_ns; }

std::size_t write_without_waiting(int fd, std::string_view text) noexcept {
  const errno_kept guard;
  return write_until(fd, text, 0);
}

bool write_all(int fd, std::string_view text) noexcept {
  const errno_kept guard;
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
      return false;
    } else if (errno == EAGAIN) {
      pollfd what{fd, POLLOUT, 0};
      const int ready = ::poll(&what, 1, static_cast<int>(patience_ns / 1'000'000));
      if (ready == 0 || (ready < 0 && errno != EINTR)) return false;
    }
  }
  return true;
}

std::uint64_t logs_lost() noexcept { return lost.load(mo::relaxed); }

void open_standard_descriptors() noexcept {
  const errno_kept guard;
  for (int fd = 0; fd <= standard_error; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // Not close-on-exec: a child expects all three, too.
    int got = ::open("/dev/null", O_RDWR);
    if (got < 0) got = ::eventfd(0, EFD_NONBLOCK);  // no /dev: an eventfd takes the number, and no text
    // Another thread may have been faster. Then the number is taken.
    if (got > standard_error) ::close(got);
  }
}

void log_to_stderr() noexcept {
  const errno_kept guard;
  settled_in.store(::getpid(), mo::relaxed);
  note(true);
}

void log_to_likely_stderr() noexcept {
  const errno_kept guard;
  struct stat s {};
  if (::fstat(standard_error, &s) != 0) return;
  // After a shutdown the process was settled already: the number may have been free since, and may now be a data
  // file's.
  const bool meant = file_of(s) == began_with.load(mo::relaxed) || is_redirection(standard_error, s);
  settled_in.store(::getpid(), mo::relaxed);
  if (meant) note(true);
}

}  // namespace baton::sched
