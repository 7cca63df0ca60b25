// Look-ups of names by the C library, off the caller's thread. Internal to netpoll.
#pragma once

#include <baton/netpoll/lookup.h>

namespace baton::net {

// Switches. Looks a name up as every program of this system does: with getaddrinfo, or getnameinfo for the names of an
// address. Parks the caller. If a limit ends its wait, the look-up goes on without it. Any number of look-ups may be
// waited for, but only a few threads make them, and callers that ask for the same at the same time share one look-up.
lookup_result look_up_by_system(lookup_name name, const wait_limits& limits);

}  // namespace baton::net
