// Raises the limit of file descriptors as far as possible: each connection of a server is one.
#pragma once

#include <sys/resource.h>
#include <algorithm>
#include <cstdio>

namespace examples {

// Raises the soft limit to the hard one, and the hard one to `wanted` where the process has the right to (root mostly
// has). Prints a line on stderr when fewer than `enough` remain.
inline void raise_descriptor_limit(rlim_t wanted = 65'536, rlim_t enough = 10'240) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlimit raised{std::max(wanted, limit.rlim_max), std::max(wanted, limit.rlim_max)};
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < enough) {
    std::fprintf(stderr, "at most %llu file descriptors: the hard limit cannot be raised\n",
                 static_cast<unsigned long long>(limit.rlim_cur));
  }
}

}  // namespace examples
