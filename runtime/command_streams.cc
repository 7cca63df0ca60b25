// What a program gets as descriptors 0, 1 and 2.
//
// Pipes and terminals of this process are non-blocking where baton uses them, and few programs expect that of their
// standard input and output. The flag belongs to the open file, which a duplicate shares. So the program gets an open
// file of its own: the same pipe or terminal, opened again. Without /proc it gets the duplicate.
#include <baton/runtime/command.h>

#include <baton/runtime/file.h>
#include <baton/syscall/above_standard.h>
#include <baton/syscall/direct_call.h>
#include <baton/syscall/files.h>
#include <baton/syscall/status.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <cstdio>
#include <string>
#include <utility>

namespace baton {

namespace {

using sys::detail::above_standard;
using fd_result = sys::result<sys::owned_fd>;

// Pipes, FIFOs and terminals; not what makes another object when it is opened, as the master of pseudo-terminals does.
bool can_be_opened_again(int fd) {
  struct ::stat about {};
  if (!sys::detail::call<SYS_fstat, void>(fd, &about)) return false;
  if (S_ISFIFO(about.st_mode)) return true;
  if (!S_ISCHR(about.st_mode) || about.st_rdev == ::makedev(5, 2)) return false;
  ::winsize unused{};
  return sys::detail::call<SYS_ioctl, int>(fd, static_cast<unsigned long>(TIOCGWINSZ), &unused).has_value();
}

// Returns none if that is not possible. Not a declared call: no step of it waits.
sys::owned_fd opened_again_and_blocking(int fd, int flags) {
  if (!can_be_opened_again(fd)) return sys::owned_fd();
  // Without O_NONBLOCK, open would wait for the other end of a FIFO.
  const int how = (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  sys::owned_fd again(sys::detail::call<SYS_openat, int>(int{AT_FDCWD}, &path[0], how, 0).value_or(-1));
  if (again && !sys::fcntl(again.get(), F_SETFL, flags & (O_APPEND | O_DIRECT))) again.reset();
  return again;
}

fd_result twin_for_program(int fd) {
  const auto flags = sys::fcntl(fd, F_GETFL);
  if (!flags) return sys::failure(flags.error());
  if ((*flags & O_NONBLOCK) != 0) {
    sys::owned_fd again = opened_again_and_blocking(fd, *flags);
    if (again) return above_standard(std::move(again));
  }
  const auto twin = sys::fcntl(fd, F_DUPFD_CLOEXEC, sys::detail::lowest_own_number);
  if (!twin) return sys::failure(twin.error());
  return fd_result(sys::owned_fd(*twin));
}

bool is_open(int fd) { return sys::fcntl(fd, F_GETFD).has_value(); }

}  // namespace

command& command::give(std::size_t number, int fd, const std::string& name) {
  fd_result twin = twin_for_program(fd);
  if (!twin) {
    if (error_.ok()) error_ = twin.status("start " + program_ + ": duplicate " + name);
    return *this;
  }
  streams_[number].from = stream::source::file;
  streams_[number].fd = *std::move(twin);
  return *this;
}

command& command::stdin_from(const file& from) { return give(0, from.native_handle(), from.path()); }
command& command::stdin_from(const pipe_reader& from) { return give(0, from.native_handle(), "pipe"); }
command& command::stdout_to(const file& to) { return give(1, to.native_handle(), to.path()); }
command& command::stdout_to(const pipe_writer& to) { return give(1, to.native_handle(), "pipe"); }
command& command::stderr_to(const file& to) {
  stderr_to_stdout_ = false;
  return give(2, to.native_handle(), to.path());
}
command& command::stderr_to(const pipe_writer& to) {
  stderr_to_stdout_ = false;
  return give(2, to.native_handle(), "pipe");
}

command& command::stderr_to_stdout() {
  stderr_to_stdout_ = true;
  streams_[2] = stream();
  return *this;
}

// Keeps the program's end, and returns the other one.
absl::StatusOr<sys::owned_fd> command::make_pipe_for(std::size_t number) {
  if (streams_[number].from != stream::source::by_default || (number == 2 && stderr_to_stdout_)) {
    return absl::FailedPreconditionError("start " + program_ + ": descriptor " + std::to_string(number) +
                                         " was given before");
  }
  const std::string what = "start " + program_ + ": make pipe";
  const auto numbers = sys::pipe2(O_CLOEXEC);
  if (!numbers) return numbers.status(what);
  sys::owned_fd read_end((*numbers)[0]), write_end((*numbers)[1]);
  fd_result theirs = above_standard(std::move(number == 0 ? read_end : write_end));
  if (!theirs) return theirs.status(what);
  fd_result ours = above_standard(std::move(number == 0 ? write_end : read_end));
  if (!ours) return ours.status(what);
  streams_[number].from = stream::source::pipe;
  streams_[number].fd = *std::move(theirs);
  return *std::move(ours);
}

template <class End>
absl::StatusOr<End> command::pipe_for(std::size_t number, const char* name) {
  absl::StatusOr<sys::owned_fd> fd = make_pipe_for(number);
  if (!fd.ok()) return fd.status();
  absl::StatusOr<End> end = End::adopt(fd->get(), name + program_);
  if (end.ok()) {
    (void)fd->release();
  } else {
    streams_[number] = stream();
  }
  return end;
}

absl::StatusOr<pipe_writer> command::stdin_pipe() { return pipe_for<pipe_writer>(0, "stdin of "); }
absl::StatusOr<pipe_reader> command::stdout_pipe() { return pipe_for<pipe_reader>(1, "stdout of "); }
absl::StatusOr<pipe_reader> command::stderr_pipe() { return pipe_for<pipe_reader>(2, "stderr of "); }

void command::drop_pipes() noexcept {
  for (stream& s : streams_) {
    if (s.from == stream::source::pipe) s = stream();
  }
}

// The null device stands for a standard output or error that this process has closed.
absl::Status command::place_streams(std::vector<int>& files, sys::owned_fd& null_device) const {
  for (const int i : {0, 1, 2}) {
    if (i == 2 && stderr_to_stdout_) {
      files[2] = files[1];
      continue;
    }
    const auto at = static_cast<std::size_t>(i);
    files[at] = streams_[at].fd ? streams_[at].fd.get() : i;
    if (streams_[at].fd || (i != 0 && is_open(i))) continue;
    if (!null_device) {
      const auto opened = sys::open("/dev/null", O_RDWR | O_CLOEXEC);
      if (!opened) return opened.status("start " + program_ + ": open /dev/null");
      fd_result moved = above_standard(sys::owned_fd(*opened));
      if (!moved) return moved.status("start " + program_ + ": open /dev/null");
      null_device = *std::move(moved);
    }
    files[at] = null_device.get();
  }
  return absl::OkStatus();
}

}  // namespace baton
