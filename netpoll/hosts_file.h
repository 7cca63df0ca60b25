// The names in a hosts file (hosts(5)). Internal to netpoll.
#pragma once

#include <baton/netpoll/address.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace baton::net {

class hosts_file {
 public:
  // Reads the text of a file. Skips malformed lines: an address that is not a number, a name with a character that
  // names do not have. May throw std::bad_alloc.
  [[nodiscard]] static hosts_file parse(std::string_view text);

  // Returns the addresses of a name in the order of the file, each once. Case and a dot at the end do not matter.
  // none: of both families.
  [[nodiscard]] std::vector<address> addresses_of(std::string_view name, address::family family) const;
  // Returns the names of an address in the order of the file, each once.
  [[nodiscard]] std::vector<std::string> names_of(const address& ip) const;

 private:
  std::unordered_map<std::string, std::vector<address>> addresses_;  // the names in lower case
  std::unordered_map<address, std::vector<std::string>> names_;
};

// Returns the name in lower case (ASCII), without a dot at its end.
[[nodiscard]] std::string canonical_name(std::string_view name);

}  // namespace baton::net
