// singleton LOCK PROGRAM [ARGUMENT...]: runs the program, unless another singleton with the same lock file runs one.
//
//   $ singleton /run/lock/backup rsync -a /home /backup
//   singleton: /run/lock/backup: process 4711 has the lock
//
// The lock is one of the kernel's (flock), so it ends with its holder, however that ends. The file stays: after a
// removal, the next singleton would lock another file than those that still have it open. It has the number of the
// process that holds the lock. The number is for people to read only. A program must not kill a process because its
// number is in the file.
//
// A singleton that SIGKILL ends leaves its program behind, without the lock.
//
// The exit code is the program's, 128 + the signal that ended it, or 75 (try again later) if another one runs. SIGINT
// and SIGTERM end the program, and what it has started: first SIGTERM, after 5 s SIGKILL.
#include "command_line.h"
#include "printable_text.h"

#include <baton/baton.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr int try_again_later = 75;

std::string holder_of(const std::string& lock) {
  const absl::StatusOr<std::string> number = baton::read_file(lock);
  if (!number.ok() || number->empty()) return "another process";
  return "process " + examples::printable(*number, 16);
}

absl::Status name_holder(const baton::file_lock& lock, const std::string& path) {
  auto file = baton::file::borrow(lock.native_handle(), path);
  if (!file.ok()) return file.status();
  if (const auto cut = baton::sys::ftruncate(lock.native_handle(), 0); !cut) return cut.status("truncate " + path);
  return file->write_at(std::to_string(*baton::sys::getpid()) + "\n", 0).status();
}

int singleton(const std::string& path, baton::command program) {
  const auto stop = baton::os_signals::notify_context(baton::context::background(), {SIGINT, SIGTERM});
  const auto lock = baton::file_lock::try_acquire(path);
  if (absl::IsUnavailable(lock.status())) {
    std::fprintf(stderr, "singleton: %s: %s has the lock\n", path.c_str(), holder_of(path).c_str());
    return try_again_later;
  }
  if (!lock.ok()) return examples::failed("singleton", lock.status());
  if (const absl::Status s = name_holder(*lock, path); !s.ok()) return examples::failed("singleton", s);
  const auto input = baton::file::borrow(0, "stdin");
  if (input.ok()) program.stdin_from(*input);
  const auto end = program.process_group().run(stop);
  if (!end.ok()) return examples::failed("singleton", end.status());
  return end->exited() ? end->code() : 128 + end->signal();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return examples::misused("singleton LOCK PROGRAM [ARGUMENT...]");
  return examples::run("singleton", [&] {
    return singleton(argv[1], baton::command(argv[2], std::vector<std::string>(argv + 3, argv + argc)));
  });
}
