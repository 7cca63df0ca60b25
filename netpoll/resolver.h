// Public API: looks names up. resolve() and dial() have a resolver of their own, for the names of the system. Make a
// resolver for other servers, another hosts file, or other time-outs.
//
//   auto names = baton::net::resolver::open({.servers = {"10.0.0.1", "[fd00::1]:5353"}});
//   if (!names.ok()) return names.status();
//   auto found = names->resolve("db.internal", {.timeout = 2s});
//   auto stream = baton::net::dial("db.internal:5432", {.names = &*names});
//
// Thread-safe. Any number of fibers and plain threads look names up at the same time, over a few sockets and without a
// thread of their own. Callers that ask for the same name at the same time share one look-up. Only the owner may move a
// resolver, when no calls are under way.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/options.h>

#include <absl/status/statusor.h>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace baton::net {

class resolver_state;

// The source of the answers.
enum class name_source : std::uint8_t {
  // baton, from the hosts file and by DNS, in the order that nsswitch.conf has. The C library, if nsswitch.conf names
  // anything else for this name (mDNS, LDAP, systemd-resolved …), or if LOCALDOMAIN, RES_OPTIONS or HOSTALIASES are
  // set.
  automatic,
  // baton, whatever nsswitch.conf says: the hosts file first, then DNS.
  dns,
  // The C library (getaddrinfo). A look-up holds a thread; there are at most 32 of these, however many callers ask.
  system,
};

struct resolver_options {
  // Each an IP address, with or without a port: "10.0.0.1", "10.0.0.1:5353", "[fd00::1]:53"; no zone. They are asked in
  // this order. Empty: those of resolv_conf. With servers, `source` is `dns`.
  std::vector<std::string> servers = {};
  // The domains that are appended to a name, and the number of dots from which on a name is first tried as it is. Not
  // set: as resolv_conf says. A name that ends in a dot is only tried as it is.
  std::optional<std::vector<std::string>> search = std::nullopt;
  std::optional<int> ndots = std::nullopt;
  // How long the first try waits for a server (twice as long once all servers have been tried), and how often all are
  // tried. Not set: as resolv_conf says (timeout, attempts), or 5 s and 2. At most 1 h and 100.
  time_limit try_timeout = {};
  int tries = 0;
  // "": no such file.
  std::string hosts = "/etc/hosts";
  std::string resolv_conf = "/etc/resolv.conf";
  name_source source = name_source::automatic;
};

struct resolve_options {
  time_limit timeout = {};                         // for the look-up
  context_option ctx = {};                         // a baton::context: ends the wait with its error
  address::family family = address::family::none;  // ipv4 or ipv6 only; none: both
  int port = 0;                                    // what the addresses will carry
  // For the function resolve(): asks these servers, as resolver_options::servers does. A resolver has servers of its
  // own, and returns INVALID_ARGUMENT.
  std::vector<std::string> servers = {};
};

class resolver {
 public:
  resolver() noexcept;  // not open
  resolver(resolver&&) noexcept;
  resolver& operator=(resolver&&) noexcept;  // Switches. Closes what was there
  ~resolver();                               // Switches. As close()

  // INVALID_ARGUMENT: a server that is not an IP address, ndots below 0, a domain that is not a name, a path with a
  // NUL. Files that are not there are empty. Never switches.
  [[nodiscard]] static absl::StatusOr<resolver> open(resolver_options options = {});

  // Switches. Returns the addresses of a host: at least one, each once, in the order in which they should be tried (RFC
  // 6724). Numbers ("127.0.0.1", "::1", "fe80::1%eth0") are only parsed, as by address::from_ip(). "localhost" and
  // names that end in ".localhost" are this host's; no server is asked.
  //
  // IPv6 and IPv4 addresses are asked for at once. If one of the two has come and the other has not 300 ms later, the
  // look-up ends with what is there. A truncated answer is asked for again over TCP. At most 1,000 addresses of a
  // family are taken.
  //
  // A caller whose time-out passes or whose context is done leaves at once. When no caller is left, the questions that
  // are under way are cancelled. Until then they go on: for the others, and for later callers that ask the same.
  //
  // The files are looked at once a second. Look-ups that begin after a change follow it.
  //
  // Errors: NOT_FOUND (there is no such host, or it has no such address), UNAVAILABLE (no server has answered, or all
  // have refused: SERVFAIL, REFUSED; the message names the server), INVALID_ARGUMENT (neither a name nor a number: "",
  // "127.1", a NUL inside, too long), DEADLINE_EXCEEDED (the time-out of this call), the context's error, CANCELLED
  // after close(), RESOURCE_EXHAUSTED, FAILED_PRECONDITION if it is not open.
  absl::StatusOr<std::vector<address>> resolve(const std::string& host, resolve_options options = {}) const;

  // Switches. Returns the names of an IP address, at least one, each once: from the hosts file, or by DNS (PTR). The
  // owner of the address chooses them, so they prove nothing. Of the options only timeout and ctx count. Errors as
  // above.
  absl::StatusOr<std::vector<std::string>> names_of(const address& ip, resolve_options options = {}) const;

  // Switches. Ends the calls that are under way with CANCELLED, cancels their questions, and closes the sockets. Every
  // call of it returns when that is done. Idempotent.
  void close();

 private:
  friend struct resolver_access;

  explicit resolver(std::shared_ptr<resolver_state> s) noexcept;
  std::shared_ptr<resolver_state> state_;
};

}  // namespace baton::net
