#include <baton/netpoll/hosts_file.h>

#include <baton/netpoll/config_text.h>

#include <absl/status/statusor.h>
#include <algorithm>

namespace baton::net {

std::string canonical_name(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

hosts_file hosts_file::parse(std::string_view text) {
  hosts_file f;
  for_each_line(text, [&f](const std::vector<std::string_view>& words) {
    const absl::StatusOr<address> ip = address::from_ip(words.front(), 0);
    if (!ip.ok()) return;
    for (std::size_t i = 1; i < words.size(); ++i) {
      std::string name = canonical_name(words[i]);
      if (!check_host_name(name).ok()) continue;
      std::vector<address>& ips = f.addresses_[name];
      std::vector<std::string>& names = f.names_[*ip];
      // A pair is in both lists or in none. A list of blocked hosts gives 100,000 names to one address: so the shorter
      // list is searched.
      const bool is_known = ips.size() <= names.size() ? std::find(ips.begin(), ips.end(), *ip) != ips.end()
                                                       : std::find(names.begin(), names.end(), name) != names.end();
      if (is_known) continue;
      ips.push_back(*ip);
      names.push_back(std::move(name));
    }
  });
  return f;
}

std::vector<address> hosts_file::addresses_of(std::string_view name, address::family family) const {
  std::vector<address> all;
  const auto at = addresses_.find(canonical_name(name));
  if (at == addresses_.end()) return all;
  for (const address& a : at->second) {
    if (family == address::family::none || a.kind() == family) all.push_back(a);
  }
  return all;
}

std::vector<std::string> hosts_file::names_of(const address& ip) const {
  const auto at = names_.find(ip.with_port(0));
  return at == names_.end() ? std::vector<std::string>() : at->second;
}

}  // namespace baton::net
