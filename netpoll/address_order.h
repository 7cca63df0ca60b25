// The order in which the addresses of a host should be tried (RFC 6724). Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>

#include <vector>

namespace baton::net {

// Sorts the addresses, best first, and removes those that occur before. Asks the kernel from which address each would
// be reached; an address that cannot be reached goes last. Those that are equally good keep their order, and so do more
// than 100. Never switches. May throw std::bad_alloc.
void order_addresses(std::vector<address>& all);

// The rules alone, for addresses whose sources are known. A source that names nothing: the address cannot be reached.
struct reached_address {
  address to;
  address from;
};
// Returns true if a should be tried before b.
[[nodiscard]] bool goes_before(const reached_address& a, const reached_address& b) noexcept;

}  // namespace baton::net
