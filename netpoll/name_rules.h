// The rules by which this system looks names up: nsswitch.conf, resolv.conf and the hosts file. Internal to netpoll.
#pragma once

#include <baton/netpoll/config_text.h>
#include <baton/netpoll/hosts_file.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace baton::net {

// What "hosts:" in nsswitch.conf says. The default is that of a system without the file.
struct name_sources {
  bool files = true;
  bool dns = true;
  bool files_first = true;
  // What only the C library can look up: for all names, for names in .local (mDNS), for this host's own names
  // (nss-myhostname).
  bool system_for_all = false;
  bool system_for_local = false;
  bool system_for_own = false;

  [[nodiscard]] static name_sources parse(std::string_view text);
};

// What resolv.conf says. c-ares reads the file, too; these are the parts that baton acts on.
struct server_rules {
  std::vector<std::string> servers = {};  // as the file has them; for messages
  std::vector<std::string> search = {};   // at most 6 domains, in lower case, without a dot at the end
  int ndots = 1;                          // 0 to 15
  int timeout_s = 5;                      // of the first try; 1 to 30
  int attempts = 2;                       // 1 to 5

  [[nodiscard]] static server_rules parse(std::string_view text);
};

// One state of the files.
struct name_rules {
  name_sources sources;
  server_rules servers;
  std::shared_ptr<const hosts_file> hosts;  // never null
  std::uint64_t servers_version = 0;        // another one if resolv.conf has changed
  std::string own_name;                     // of this host, canonical

  // Returns true if nsswitch.conf or the environment sends this name to a source that only the C library has. An empty
  // name stands for an address.
  [[nodiscard]] bool need_system(std::string_view canonical_host) const;
};

// Returns the names to ask for, in turn, each with a dot at its end. A name that ends in a dot is only asked for as it
// is. A name with at least `ndots` dots is asked for as it is first; another one, last.
[[nodiscard]] std::vector<std::string> names_to_ask(std::string_view host, const std::vector<std::string>& search,
                                                    int ndots);

// The paths of the files, and what was read last.
class rules_reader {
 public:
  rules_reader(std::string hosts_path, std::string servers_path, std::string sources_path);

  // May switch. Returns the current rules, never null. Looks at the files, and reads again those that have changed.
  // `former` is what the last call returned; null at first. May throw std::bad_alloc. One caller at a time.
  [[nodiscard]] std::shared_ptr<const name_rules> read(const std::shared_ptr<const name_rules>& former);

 private:
  struct file {
    std::string path;
    file_stamp stamp = {};
    bool was_read = false;
  };
  [[nodiscard]] static bool has_changed(file& f);

  file hosts_;
  file servers_;
  file sources_;
};

}  // namespace baton::net
