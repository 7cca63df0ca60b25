// Public API: typed calls that move bytes between descriptors within the kernel. (sendfile is in files.h.) The rules
// that files.h states for all typed calls apply here, too.
//
// An offset pointer says where to read or write; it is advanced, and the descriptor's own offset is left alone. A null
// pointer means the descriptor's own offset; a pipe must have one. Each call returns how many bytes it moved, perhaps
// fewer than asked for; 0: the end of the input.
#pragma once

#include <baton/syscall/result.h>

#include <fcntl.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <cstddef>
#include <span>

namespace baton::sys {

// Switches. Copies from one file to another, by sharing the blocks or on the server where the file systems can. flags:
// 0. EXDEV: these two file systems cannot (read and write can).
result<std::size_t> copy_file_range(int from, ::off_t* from_offset, int to, ::off_t* to_offset, std::size_t count,
                                    unsigned flags = 0) noexcept;

// Switches. Moves pages from or to a pipe: one of both descriptors is a pipe. flags: SPLICE_F_MOVE, SPLICE_F_MORE,
// SPLICE_F_NONBLOCK (EAGAIN instead of waiting for the pipe; the other side can still wait).
result<std::size_t> splice(int from, ::off_t* from_offset, int to, ::off_t* to_offset, std::size_t count,
                           unsigned flags) noexcept;

// Switches. Copies what is in one pipe to another one, without taking it out. The same flags.
result<std::size_t> tee(int from, int to, std::size_t count, unsigned flags) noexcept;

// Switches. Puts memory into a pipe (or takes it out, if fd is the reading end). The pipe refers to the memory itself:
// it must not change until the reader has it. More than IOV_MAX (1024) elements: EINVAL.
result<std::size_t> vmsplice(int fd, std::span<const ::iovec> memory, unsigned flags) noexcept;

}  // namespace baton::sys
