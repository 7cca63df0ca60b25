// Public API: typed calls that ask the kernel about the machine. The rules that files.h states for all typed calls
// apply here, too.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/result.h>

#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <cstddef>

namespace baton::sys {

// The names of kernel, host and machine.
result<struct ::utsname> uname() noexcept;

// Uptime, load, memory. The units are in mem_unit; loads are in 1/65536.
result<void> sysinfo(struct ::sysinfo* into) noexcept;

// Switches. Fills `into` with random bytes and returns how many: fewer than asked for only above 256 bytes, after a
// signal. It waits only soon after the start of the machine. flags: GRND_NONBLOCK (EAGAIN instead), GRND_RANDOM.
result<std::size_t> getrandom(bytes into, unsigned flags = 0) noexcept;

}  // namespace baton::sys
