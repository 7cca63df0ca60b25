// Keeps descriptors of the runtime away from the numbers 0, 1 and 2. Internal to baton.
//
// A program that has closed one of them gives the number to another file later, by dup2, without asking whether it is
// in use meanwhile. So descriptors that the runtime makes for itself, and those that a child gets under other numbers,
// lie above.
#pragma once

#include <baton/syscall/owned_fd.h>
#include <baton/syscall/result.h>

#include <fcntl.h>
#include <sys/syscall.h>
#include <utility>

namespace baton::sys::detail {

inline constexpr int lowest_own_number = 3;

// Returns fd, or a duplicate with a higher number, and then closes fd. Fails with EMFILE; then fd is closed, too.
inline result<owned_fd> above_standard(owned_fd fd) noexcept {
  if (!fd || fd.get() >= lowest_own_number) return result<owned_fd>(std::move(fd));
  const auto moved = call<SYS_fcntl, int>(fd.get(), int{F_DUPFD_CLOEXEC}, lowest_own_number);
  if (!moved) return failure(moved.error());
  return result<owned_fd>(owned_fd(*moved));
}

}  // namespace baton::sys::detail
