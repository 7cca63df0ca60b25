// A resolver answers from files itself, and leaves the rest to a channel (dns_channel.h), or to the C library
// (system_lookup.h). name_rules.cc says how that choice is made.
//
// Rules. Once a second, one caller checks whether the files have changed. The others go on with what was read last.
// Before the first read has ended, each caller reads the files itself, because it cannot go on without them.
//
// Channels. There is one for all look-ups. A new one replaces it when resolv.conf has changed, and when too many of its
// questions go on without a waiter, because c-ares cannot cancel one question alone. No caller joins the look-ups of a
// channel that has been replaced. The channel ends with the last of them. So questions to a dead server never pile up.
//
// close() claims all waiters, so that no look-up has a waiter any more. Then the drivers cancel them and end.
#include <baton/netpoll/resolver.h>

#include <baton/netpoll/address_order.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/resolve.h>
#include <baton/netpoll/resolver_state.h>
#include <baton/netpoll/system_lookup.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/platform/clock.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

namespace baton::net {

namespace {

using sched::platform::lock_guard;
using sched::platform::now_ns;

constexpr std::int64_t read_every_ns = 1'000'000'000;
constexpr std::size_t unwanted_max = 128;

std::string sources_path(const resolver_options& o) {
  return o.source == name_source::automatic && o.servers.empty() ? "/etc/nsswitch.conf" : std::string();
}

bool fits(const address& a, address::family wanted) noexcept {
  return wanted == address::family::none || a.kind() == wanted;
}

std::vector<address> loopback(address::family family) {
  std::vector<address> both;
  for (const char* const number : {"::1", "127.0.0.1"}) {
    address a = *address::from_ip(number, 0);
    if (fits(a, family)) both.push_back(std::move(a));
  }
  order_addresses(both);
  return both;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& t : texts) all.append(all.empty() ? "" : ", ").append(t);
  return all;
}

// DNS has names of labels of 1 to 63 bytes.
absl::Status check_labels(const std::string& host) {
  constexpr std::size_t label_max = 63;
  for (std::size_t at = 0; at < host.size();) {
    const std::size_t dot = std::min(host.find('.', at), host.size());
    if (dot == at) return absl::InvalidArgumentError(describe("resolve", host, "a part of the name is empty"));
    if (dot - at > label_max) {
      return absl::InvalidArgumentError(describe("resolve", host, "a part of the name is longer than 63 bytes"));
    }
    at = dot + 1;
  }
  return absl::OkStatus();
}

// Returns "1.2.3.4:53" or "[::1]:53" for a server of the options.
absl::StatusOr<std::string> server_with_port(const std::string& text) {
  constexpr int dns_port = 53;
  if (text.find('%') != std::string::npos) {
    return absl::InvalidArgumentError(describe("open a resolver", "server \"" + text + "\"", "has a zone"));
  }
  absl::StatusOr<address> a = address::from_ip(text, dns_port);
  if (!a.ok()) a = address::parse(text);
  if (!a.ok() || !a->is_ip() || a->port() == 0 || a->is_wildcard()) {
    return absl::InvalidArgumentError(describe("open a resolver", "server \"" + text + "\"", "not an IP address"));
  }
  return a->to_string();
}

absl::Status check_options(resolver_options& o) {
  for (std::string& server : o.servers) {
    absl::StatusOr<std::string> whole = server_with_port(server);
    if (!whole.ok()) return whole.status();
    server = *std::move(whole);
  }
  if (o.search.has_value()) {
    for (std::string& domain : *o.search) {
      if (absl::Status s = check_host_name(domain); !s.ok()) return status_for_reason(s, "open a resolver: search");
      domain = canonical_name(domain);
    }
  }
  if (o.ndots.value_or(0) < 0 || o.tries < 0) {
    return absl::InvalidArgumentError("open a resolver: ndots and tries cannot be negative");
  }
  for (const std::string* path : {&o.hosts, &o.resolv_conf}) {
    if (path->find('\0') != std::string::npos) return errno_status(EINVAL, "open a resolver", "a path with a NUL");
  }
  return absl::OkStatus();
}

}  // namespace

resolver_state::resolver_state(resolver_options options)
    : options_(std::move(options)), reader_(options_.hosts, options_.resolv_conf, sources_path(options_)) {}

resolver_state& resolver_state::of_process() {
  // Never destroyed: static destructors may look names up.
  static resolver_state* const one = new resolver_state({});
  return *one;
}

std::shared_ptr<const name_rules> resolver_state::rules() {
  const std::int64_t now = now_ns();
  std::shared_ptr<const name_rules> former;
  bool reads = false;
  {
    const lock_guard hold(rules_lock_);
    former = rules_;
    reads = !is_reading_ && now >= read_again_ns_;
    if (reads) is_reading_ = true;
  }
  if (!reads && former != nullptr) return former;
  if (!reads) {  // another caller reads for the first time
    rules_reader own(options_.hosts, options_.resolv_conf, sources_path(options_));
    return own.read(nullptr);
  }
  std::shared_ptr<const name_rules> fresh;
  try {
    fresh = reader_.read(former);
  } catch (...) {
    const lock_guard hold(rules_lock_);
    is_reading_ = false;
    throw;
  }
  const lock_guard hold(rules_lock_);
  is_reading_ = false;
  read_again_ns_ = now_ns() + read_every_ns;
  rules_ = fresh;
  return fresh;
}

found_names resolver_state::in_files(const name_rules& rules, const lookup_name& name) const {
  found_names found;
  if (name.ip.is_ip()) {
    found.names = rules.hosts->names_of(name.ip);
  } else {
    found.addresses = rules.hosts->addresses_of(name.host, name.family);
    order_addresses(found.addresses);
  }
  return found;
}

lookup_result resolver_state::look_up(lookup_name name, const wait_limits& limits) {
  const std::string what = name.what();
  if (absl::Status s = limits.check(what); !s.ok()) return s;
  {
    const lock_guard hold(table.lock);
    if (closed_) return wait_error(sched::waiter::closed, limits, what);
  }
  if (options_.source == name_source::system && options_.servers.empty()) {
    return look_up_by_system(std::move(name), limits);
  }
  const std::shared_ptr<const name_rules> now = rules();
  const std::string host = canonical_name(name.host);
  const bool automatic = options_.source == name_source::automatic && options_.servers.empty();
  if (automatic && now->need_system(host)) return look_up_by_system(std::move(name), limits);
  if (absl::Status s = check_labels(name.host); !s.ok()) return s;
  const name_sources& from = now->sources;
  if (from.files && from.files_first) {
    found_names found = in_files(*now, name);
    if (!found.addresses.empty() || !found.names.empty()) return found;
  }
  if (host == "localhost" || host.ends_with(".localhost")) return found_names{loopback(name.family), {}};
  if (from.dns) {
    lookup_result asked = ask_servers(*now, name, limits);
    if (from.files_first || !from.files || !absl::IsNotFound(asked.status())) return asked;
    found_names found = in_files(*now, name);
    if (!found.addresses.empty() || !found.names.empty()) return found;
    return asked;
  }
  if (from.files && !from.files_first) {
    found_names found = in_files(*now, name);
    if (!found.addresses.empty() || !found.names.empty()) return found;
  }
  return absl::NotFoundError(describe(what, {}, "not in " + options_.hosts + "; nsswitch.conf does not name dns"));
}

lookup_result resolver_state::ask_servers(const name_rules& now, lookup_name name, const wait_limits& limits) {
  const std::string what = name.what();
  const auto& search = options_.search.has_value() ? *options_.search : now.servers.search;
  std::vector<std::string> to_ask = names_to_ask(name.host, search, options_.ndots.value_or(now.servers.ndots));
  auto mine = std::make_shared<dns_lookup>(std::move(name), std::move(to_ask));
  const bool ends = sched::is_ending();
  absl::StatusOr<std::shared_ptr<dns_channel>> channel = ends ? open_channel(now) : channel_for(now);
  if (!channel.ok()) return status_for_reason(channel.status(), what);
  if (ends) {  // no fiber would drive it
    {
      const lock_guard hold(table.lock);
      (*channel)->submit(mine);
    }
    (*channel)->drive_in_place(limits.deadline_ns);
    return *std::move(mine->result);
  }
  sched::waiter w;
  std::shared_ptr<dns_lookup> chosen;
  bool is_mine = false;
  {
    const lock_guard hold(table.lock);
    if (closed_) return wait_error(sched::waiter::closed, limits, what);
    if (lookup* const same = table.find(*mine)) {
      chosen = std::static_pointer_cast<dns_lookup>(same->self);  // all look-ups of this table are
      chosen->channel->want(*chosen);
    } else {
      chosen = mine;
      is_mine = true;
      table.insert(mine);
      (*channel)->submit(mine);
    }
    w.prepare(sched::wait_reason::lookup);
    chosen->waiters.push_back(w);
  }
  if (is_mine) (*channel)->wake();
  channel->reset();
  mine.reset();
  return await_end(*chosen, w, limits, [&]() noexcept { give_up(*chosen, w); });
}

void resolver_state::give_up(dns_lookup& l, sched::waiter& w) noexcept {
  std::shared_ptr<dns_channel> idle;
  {
    const lock_guard hold(table.lock);
    l.waiters.remove(w);
    if (l.channel == nullptr || !l.waiters.empty()) return;  // it has ended, or others wait
    if (l.channel->leave(l)) idle = l.channel->shared_from_this();
  }
  if (idle != nullptr) idle->wake();
}

absl::StatusOr<std::shared_ptr<dns_channel>> resolver_state::open_channel(const name_rules& now) {
  constexpr std::int64_t timeout_max_ms = 3'600'000;
  constexpr int tries_max = 100;
  dns_settings s;
  s.servers_path = options_.resolv_conf;
  s.servers = options_.servers;
  s.servers_text = joined(s.servers.empty() ? now.servers.servers : s.servers);
  if (s.servers_text.empty()) s.servers_text = "127.0.0.1";  // as c-ares and the C library have it
  s.tries = options_.tries > 0 ? std::min(options_.tries, tries_max) : now.servers.attempts;
  s.try_timeout_ms = now.servers.timeout_s * 1'000;
  if (options_.try_timeout != time_limit()) {
    const std::int64_t ms = (options_.try_timeout.ns_at_least_zero() + 999'999) / 1'000'000;
    s.try_timeout_ms = static_cast<int>(std::clamp<std::int64_t>(ms, 1, timeout_max_ms));
  }
  return dns_channel::open(*this, std::move(s), now.servers_version);
}

absl::StatusOr<std::shared_ptr<dns_channel>> resolver_state::channel_for(const name_rules& now) {
  // The rules that a caller has may be older than those that the current channel was opened for.
  const auto is_good = [&](const std::shared_ptr<dns_channel>& c, std::size_t unwanted) {
    return c != nullptr && c->version >= now.servers_version && unwanted <= unwanted_max;
  };
  {
    const lock_guard hold(table.lock);
    if (closed_) return absl::CancelledError("the resolver is closed");
    if (is_good(current_, current_ == nullptr ? 0 : current_->unwanted())) return current_;
  }
  absl::StatusOr<std::shared_ptr<dns_channel>> fresh = open_channel(now);
  if (!fresh.ok()) return fresh;
  std::shared_ptr<dns_channel> replaced;  // its end switches: not under the lock
  {
    const lock_guard hold(table.lock);
    if (closed_) return absl::CancelledError("the resolver is closed");
    if (is_good(current_, current_ == nullptr ? 0 : current_->unwanted())) {
      replaced = std::exchange(*fresh, current_);
    } else {
      if (current_ != nullptr) current_->retire();
      replaced = std::exchange(current_, *fresh);
    }
  }
  return fresh;
}

bool resolver_state::close() noexcept {
  std::shared_ptr<dns_channel> last;
  {
    const lock_guard hold(table.lock);
    closed_ = true;
    last = std::move(current_);
  }
  for (;;) {
    std::shared_ptr<dns_channel> told;
    sched::waiter_list claimed;
    {
      const lock_guard hold(table.lock);
      for (dns_channel* c = driven; c != nullptr && told == nullptr; c = c->next_driven) {
        if (!std::exchange(c->told_to_close, true)) told = c->shared_from_this();
      }
      if (told != nullptr) told->abandon_all(claimed);
    }
    if (told == nullptr) break;
    ready_all(claimed);
    told->wake();
  }
  last.reset();
  sched::waiter w;
  {
    const lock_guard hold(table.lock);
    if (drivers == 0) return true;
  }
  if (!sched::destructor_may_wait("a resolver")) return false;
  {
    const lock_guard hold(table.lock);
    if (drivers == 0) return true;
    w.prepare(sched::wait_reason::lookup);
    closers.push_back(w);
  }
  (void)w.wait();
  return true;
}

void resolver_state::leave_at_exit(const std::shared_ptr<resolver_state>& self) noexcept { left_ = self; }

absl::StatusOr<std::vector<address>> resolver_state::addresses_of(const std::string& host, address::family family,
                                                                  int port, const wait_limits& limits) {
  if (family == address::family::local) {
    return absl::InvalidArgumentError(describe("resolve", host, "a Unix socket has no IP address"));
  }
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(describe("resolve", "port " + std::to_string(port), "a port is 0 to 65535"));
  }
  absl::StatusOr<address> number = address::from_ip(host, port);
  if (number.ok()) {
    if (fits(*number, family)) return std::vector<address>{*std::move(number)};
    return absl::NotFoundError(describe("resolve", host, "not of the family asked for"));
  }
  // No name has a zone; an address may have one that is not there.
  if (host.find('%') != std::string::npos) return status_for_reason(number.status(), "resolve");
  if (absl::Status s = check_host_name(host); !s.ok()) return status_for_reason(s, "resolve");
  lookup_result found = look_up({.host = host, .family = family}, limits);
  if (!found.ok()) return found.status();
  for (address& a : found->addresses) a = a.with_port(port);
  return std::move(found->addresses);
}

absl::StatusOr<std::vector<std::string>> resolver_state::names_of(const address& ip, const wait_limits& limits) {
  if (!ip.is_ip()) return absl::InvalidArgumentError(describe("resolve", ip.to_string(), "not an IP address"));
  lookup_result found = look_up({.ip = ip.with_port(0)}, limits);
  if (!found.ok()) return found.status();
  return std::move(found->names);
}

resolver::resolver() noexcept = default;
resolver::resolver(std::shared_ptr<resolver_state> s) noexcept : state_(std::move(s)) {}
resolver::resolver(resolver&&) noexcept = default;
resolver& resolver::operator=(resolver&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::move(other.state_);
  }
  return *this;
}
resolver::~resolver() { close(); }

absl::StatusOr<resolver> resolver::open(resolver_options options) {
  if (absl::Status s = check_options(options); !s.ok()) return s;
  return resolver(std::make_shared<resolver_state>(std::move(options)));
}

absl::StatusOr<std::vector<address>> resolver::resolve(const std::string& host, resolve_options options) const {
  const std::shared_ptr<resolver_state> state = state_;  // a close() and the destructor may come meanwhile
  if (state == nullptr) return not_open("resolve", "resolver");
  if (!options.servers.empty()) {
    return absl::InvalidArgumentError(describe("resolve", host, "this resolver has servers of its own"));
  }
  return state->addresses_of(host, options.family, options.port, {options.timeout.deadline_ns(), options.ctx.get()});
}

absl::StatusOr<std::vector<std::string>> resolver::names_of(const address& ip, resolve_options options) const {
  const std::shared_ptr<resolver_state> state = state_;
  if (state == nullptr) return not_open("resolve", "resolver");
  return state->names_of(ip, {options.timeout.deadline_ns(), options.ctx.get()});
}

void resolver::close() {
  if (state_ == nullptr || state_->close()) return;
  // At exit a stopped driver may still use the state.
  state_->leave_at_exit(state_);
}

}  // namespace baton::net
