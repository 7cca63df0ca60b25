// Public API: the users and groups of the process. None of these calls can block. The rules that files.h states for all
// typed calls apply here, too.
//
// There are no calls here that change these ids. The kernel's own change the calling thread only, and the other fibers
// would go on with other rights. ::setuid and its kin of the C library change all threads: use these, at a moment when
// it does not matter how far the other fibers are.
#pragma once

#include <baton/syscall/result.h>

#include <sys/types.h>
#include <cstddef>
#include <span>

namespace baton::sys {

// These never fail. The real ids, and the effective ones.
result<::uid_t> getuid() noexcept;
result<::uid_t> geteuid() noexcept;
result<::gid_t> getgid() noexcept;
result<::gid_t> getegid() noexcept;

// The real, the effective and the saved id.
template <class Id>
struct three_ids {
  Id real, effective, saved;
};
result<three_ids<::uid_t>> getresuid() noexcept;
result<three_ids<::gid_t>> getresgid() noexcept;

// Writes the supplementary groups and returns their number. EINVAL if they do not fit; with an empty span only the
// number is returned.
result<std::size_t> getgroups(std::span<::gid_t> into) noexcept;

}  // namespace baton::sys
