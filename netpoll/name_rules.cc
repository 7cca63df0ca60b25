// Chooses between baton's own look-ups and the C library's.
//
// baton knows the sources "files" and "dns" of nsswitch.conf. Every other source is a module that only the C library
// can load: "resolve", "ldap", "sss", "mymachines" … Then all names go to the C library, with two exceptions, whose
// modules answer for few names: "mdns" and its like for .local, and "myhostname" for the names of this host. An action
// in brackets after "files" or "dns" changes the order in a way that baton does not follow: then all names go to the C
// library, too. The same holds for the variables LOCALDOMAIN, RES_OPTIONS and HOSTALIASES, which change the C library's
// rules for one process.
#include <baton/netpoll/name_rules.h>

#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

namespace baton::net {

namespace {

constexpr std::size_t search_max = 6;  // as the C library's MAXDNSRCH
constexpr const char* mdns_allow = "/etc/mdns.allow";

// Reads "name:number" and keeps it within the limits; a text of another form changes nothing.
void read_option(std::string_view option, std::string_view name, int least, int most, int& into) {
  if (!option.starts_with(name) || option.size() <= name.size() || option[name.size()] != ':') return;
  const std::string_view digits = option.substr(name.size() + 1);
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc() && end == digits.data() + digits.size()) into = std::clamp(value, least, most);
}

bool is_set(const char* variable) noexcept {
  const char* const value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

std::string own_host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? canonical_name(name) : std::string();
}

}  // namespace

name_sources name_sources::parse(std::string_view text) {
  name_sources all;
  for_each_line(text, [&all](const std::vector<std::string_view>& words) {
    if (words.front() != "hosts:" && !words.front().starts_with("hosts:")) return;
    name_sources s;
    s.files = s.dns = s.files_first = false;
    std::string_view before;
    const auto add = [&](std::string_view word) {
      if (word.starts_with('[')) {
        if (before == "files" || before == "dns") s.system_for_all = true;
        return;
      }
      before = word;
      if (word == "files") {
        s.files = true;
        s.files_first = !s.dns;
      } else if (word == "dns") {
        s.dns = true;
      } else if (word.starts_with("mdns")) {
        s.system_for_local = true;
        if (::access(mdns_allow, F_OK) == 0) s.system_for_all = true;
      } else if (word == "myhostname") {
        s.system_for_own = true;
      } else if (!word.ends_with(']') && word.find('=') == std::string_view::npos) {  // not the rest of an action
        s.system_for_all = true;
      }
    };
    if (words.front().size() > 6) add(words.front().substr(6));
    for (std::size_t i = 1; i < words.size(); ++i) add(words[i]);
    all = s;
  });
  return all;
}

server_rules server_rules::parse(std::string_view text) {
  server_rules r;
  for_each_line(text, [&r](const std::vector<std::string_view>& words) {
    const std::string_view key = words.front();
    if (key == "nameserver" && words.size() > 1) {
      r.servers.emplace_back(words[1]);
    } else if (key == "search" || key == "domain") {
      r.search.clear();  // the last line counts
      const std::size_t count = key == "domain" ? 2 : words.size();
      for (std::size_t i = 1; i < std::min(count, words.size()) && r.search.size() < search_max; ++i) {
        std::string domain = canonical_name(words[i]);
        if (!domain.empty()) r.search.push_back(std::move(domain));
      }
    } else if (key == "options") {
      for (const std::string_view option : words) {
        read_option(option, "ndots", 0, 15, r.ndots);
        read_option(option, "timeout", 1, 30, r.timeout_s);
        read_option(option, "attempts", 1, 5, r.attempts);
      }
    }
  });
  return r;
}

bool name_rules::need_system(std::string_view host) const {
  if (sources.system_for_all || is_set("LOCALDOMAIN") || is_set("RES_OPTIONS") || is_set("HOSTALIASES")) return true;
  if (sources.system_for_local && host.ends_with(".local")) return true;
  if (!sources.system_for_own) return false;
  return host.empty() || host == own_name || host == "localhost" || host.ends_with(".localhost") ||
         host == "localhost.localdomain" || host == "_gateway" || host == "_outbound";
}

std::vector<std::string> names_to_ask(std::string_view host, const std::vector<std::string>& search, int ndots) {
  std::vector<std::string> all;
  if (host.ends_with('.')) {
    all.emplace_back(host);
    return all;
  }
  constexpr std::size_t name_max = 254;  // with the dot at the end
  const bool as_is_first = std::count(host.begin(), host.end(), '.') >= ndots;
  std::string as_is = std::string(host) + '.';
  if (as_is_first) all.push_back(as_is);
  for (const std::string& domain : search) {
    std::string name = as_is + domain + '.';
    if (name.size() <= name_max) all.push_back(std::move(name));
  }
  if (!as_is_first) all.push_back(std::move(as_is));
  return all;
}

rules_reader::rules_reader(std::string hosts_path, std::string servers_path, std::string sources_path) {
  hosts_.path = std::move(hosts_path);
  servers_.path = std::move(servers_path);
  sources_.path = std::move(sources_path);
}

bool rules_reader::has_changed(file& f) {
  // The stamp is taken before the text: a change in between is seen next time.
  const file_stamp now = f.path.empty() ? file_stamp{} : stamp_of(f.path);
  if (f.was_read && now == f.stamp) return false;
  f.stamp = now;
  f.was_read = true;
  return true;
}

std::shared_ptr<const name_rules> rules_reader::read(const std::shared_ptr<const name_rules>& former) {
  const bool hosts = has_changed(hosts_);
  const bool servers = has_changed(servers_);
  const bool sources = has_changed(sources_);
  if (former != nullptr && !hosts && !servers && !sources) return former;
  try {
    auto fresh = former == nullptr ? std::make_shared<name_rules>() : std::make_shared<name_rules>(*former);
    if (hosts || former == nullptr) {
      const std::string text = hosts_.path.empty() ? std::string() : text_of(hosts_.path);
      fresh->hosts = std::make_shared<const hosts_file>(hosts_file::parse(text));
    }
    if (servers || former == nullptr) {
      fresh->servers = server_rules::parse(servers_.path.empty() ? std::string() : text_of(servers_.path));
      ++fresh->servers_version;
    }
    if (sources || former == nullptr) {
      fresh->sources = name_sources::parse(sources_.path.empty() ? std::string() : text_of(sources_.path));
      fresh->own_name = own_host_name();
    }
    return fresh;
  } catch (...) {
    hosts_.was_read = servers_.was_read = sources_.was_read = false;
    throw;
  }
}

}  // namespace baton::net
