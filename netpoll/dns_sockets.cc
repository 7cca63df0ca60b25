// The calls of a channel into c-ares, and the callbacks of c-ares: settings, questions, answers, sockets.
//
// The sockets are made here and not by c-ares, so that they are born with O_CLOEXEC: no child of another thread
// inherits one. The calls trap straight into the kernel. So no wrapper of the C library's calls (baton::interpose)
// makes the fiber change its thread inside c-ares, which reads errno afterwards.
//
// c-ares tries the next server after SERVFAIL and REFUSED, and in the end says only that no server could be reached.
// note_refusal() reads that code from the packet as it comes in, for the message.
// NOLINTNEXTLINE(readability-identifier-naming): the name is c-ares'
#define CARES_NO_DEPRECATED  // 1.34 names newer functions, which 1.18 does not have
#include <baton/netpoll/dns_channel.h>

#include <baton/netpoll/address_order.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/socket_calls.h>
#include <baton/sched/platform/clock.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/c_string.h>
#include <baton/syscall/owned_fd.h>

#include <absl/strings/string_view.h>
#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>

namespace baton::net {

namespace {

// Answers may have thousands of addresses.
constexpr std::size_t addresses_max = 1'000;
// The longest UDP answer that is not fragmented on the way, as DNS flag day 2020 sets it.
constexpr int packet_max = 1'232;
// Before that version, c-ares does not recover from a server that does not know EDNS if two questions are under way.
constexpr bool has_edns = ARES_VERSION >= 0x011600;

int c_answer(long r) noexcept {
  if (r >= 0) return static_cast<int>(r);
  errno = static_cast<int>(-r);
  return -1;
}

int close_socket(ares_socket_t fd, void*) noexcept { return c_answer(calls::answer(sys::raw_syscall(SYS_close, fd))); }

ares_ssize_t send_parts(ares_socket_t fd, const iovec* parts, int count, void*) noexcept {
  msghdr m{};
  m.msg_iov = const_cast<iovec*>(parts);
  m.msg_iovlen = static_cast<std::size_t>(count);
  return c_answer(calls::send_message(fd, m));
}

const char* name_of_refusal(int code) noexcept {
  switch (code) {
    case 1: return "FORMERR";
    case 2: return "SERVFAIL";
    case 4: return "NOTIMP";
    case 5: return "REFUSED";
    default: return "an error";
  }
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Returns the name of the first question in a packet, with a dot at its end. "": there is none.
std::string_view question_in(const unsigned char* packet, std::size_t size, std::array<char, 256>& room) noexcept {
  constexpr std::size_t header = 12;
  std::size_t used = 0;
  for (std::size_t at = header; at < size && packet[at] != 0; at += std::size_t{1} + packet[at]) {
    const std::size_t length = packet[at];
    if (length > 63 || at + 1 + length > size || used + length + 1 > room.size()) return {};
    for (std::size_t i = 1; i <= length; ++i) room[used++] = static_cast<char>(packet[at + i]);
    room[used++] = '.';
  }
  return {room.data(), used};
}

}  // namespace

struct dns_channel::callbacks {
  static void on_addresses(void* question, int status, int, ares_addrinfo* found) noexcept {
    auto& q = *static_cast<dns_lookup::question*>(question);
    q.asker->answered(q, status, found);
    if (found != nullptr) ::ares_freeaddrinfo(found);
  }
  static void on_host(void* question, int status, int, hostent* found) noexcept {
    auto& q = *static_cast<dns_lookup::question*>(question);
    q.asker->answered(q, status, found);
  }
  static void on_state(void* self, ares_socket_t fd, int readable, int writable) noexcept {
    static_cast<dns_channel*>(self)->watch(fd, readable != 0, writable != 0);
  }
  static ares_socket_t open(int family, int type, int protocol, void* self) noexcept {
    const long fd = calls::open_socket(family, type, protocol);
    if (fd >= 0 && type == SOCK_STREAM) {
      (void)calls::set_option(static_cast<int>(fd), IPPROTO_TCP, TCP_NODELAY, 1);
    }
    if (fd < 0) static_cast<dns_channel*>(self)->socket_error_ = static_cast<int>(-fd);
    return c_answer(fd);
  }
  static int connect(ares_socket_t fd, const sockaddr* to, ares_socklen_t size, void* self) noexcept {
    const long r = calls::answer(sys::raw_syscall(SYS_connect, fd, to, size));
    static_cast<dns_channel*>(self)->socket_error_ = r < 0 && r != -EINPROGRESS ? static_cast<int>(-r) : 0;
    return c_answer(r);
  }
  static ares_ssize_t receive(ares_socket_t fd, void* into, std::size_t size, int flags, sockaddr* from,
                              ares_socklen_t* from_size, void* self) noexcept {
    const long got =
        calls::answer(sys::raw_syscall(SYS_recvfrom, fd, into, size, flags | MSG_DONTWAIT, from, from_size));
    if (got > 0 && from != nullptr && from_size != nullptr) {
      static_cast<dns_channel*>(self)->note_refusal(static_cast<const unsigned char*>(into),
                                                    static_cast<std::size_t>(got), from, *from_size);
    }
    return c_answer(got);
  }
  static constexpr ares_socket_functions sockets = {open, close_socket, connect, receive, send_parts};
};

dns_channel::dns_channel(dns_owner& owner, dns_settings settings, std::uint64_t of_version) noexcept
    : version(of_version), owner_(owner), settings_(std::move(settings)) {}

dns_channel::~dns_channel() {
  if (channel_ != nullptr) ::ares_destroy(channel_);
}

absl::StatusOr<std::shared_ptr<dns_channel>> dns_channel::open(dns_owner& owner, dns_settings settings,
                                                               std::uint64_t version) {
  std::shared_ptr<dns_channel> made(new dns_channel(owner, std::move(settings), version));
  if (absl::Status s = made->start(); !s.ok()) return s;
  return made;
}

absl::Status dns_channel::start() {
  constexpr std::string_view operation = "open a resolver";
  sys::owned_fd number(static_cast<int>(calls::answer(sys::raw_syscall(SYS_epoll_create1, EPOLL_CLOEXEC))));
  if (number.get() < 0) return errno_status(-number.release(), operation, {});
  sockets_ = number.get();
  if (const int error = io_.attach(number); error != 0) return errno_status(error, operation, {});

  static const int library = ::ares_library_init(ARES_LIB_INIT_ALL);
  std::string path =
      settings_.servers.empty() && !settings_.servers_path.empty() ? settings_.servers_path : "/dev/null";
  std::string lookups = "b";
  ares_options o{};
  o.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | (has_edns ? ARES_FLAG_EDNS : 0);
  o.timeout = settings_.try_timeout_ms;
  o.tries = settings_.tries;
  o.ednspsz = packet_max;
  o.lookups = lookups.data();
  o.resolvconf_path = path.data();
  o.sock_state_cb = callbacks::on_state;
  o.sock_state_cb_data = this;
  const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS |
                   ARES_OPT_EDNSPSZ | ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB;
  int status = library;
  if (status == ARES_SUCCESS) status = blocking([&] { return ::ares_init_options(&channel_, &o, mask); });
  if (status != ARES_SUCCESS) channel_ = nullptr;
  if (status == ARES_SUCCESS && !settings_.servers.empty()) {
    std::string list;
    for (const std::string& server : settings_.servers) list.append(list.empty() ? "" : ",").append(server);
    status = ::ares_set_servers_ports_csv(channel_, sys::c_string(list).get());
  }
  if (status == ARES_ENOMEM) return errno_status(ENOMEM, operation, {});
  if (status != ARES_SUCCESS) return absl::UnavailableError(describe(operation, {}, ::ares_strerror(status)));
  ::ares_set_socket_functions(channel_, &callbacks::sockets, this);
  return absl::OkStatus();
}

void dns_channel::watch(int fd, bool readable, bool writable) noexcept {
  epoll_event e{};
  e.events = (readable ? std::uint32_t{EPOLLIN} : 0u) | (writable ? std::uint32_t{EPOLLOUT} : 0u);
  e.data.fd = fd;
  const auto control = [&](int operation) {
    return calls::answer(sys::raw_syscall(SYS_epoll_ctl, sockets_, operation, fd, &e));
  };
  if (e.events == 0) {
    (void)control(EPOLL_CTL_DEL);  // c-ares closes it next
    return;
  }
  long r = control(EPOLL_CTL_ADD);
  if (r == -EEXIST) r = control(EPOLL_CTL_MOD);
  if (r < 0) watch_error_ = static_cast<int>(-r);  // the driver gives up: the socket would never be served
}

// Level-triggered: a socket that is still ready is reported again. Returns how many are ready, or -errno.
long dns_channel::poll_sockets(int timeout_ms) noexcept {
  epoll_event ready[events_max];
  const long n = calls::answer(
      sys::raw_syscall(SYS_epoll_pwait, sockets_, &ready[0], int{events_max}, timeout_ms, nullptr, std::size_t{0}));
  events_count_ = static_cast<int>(std::max(n, 0L));
  for (std::size_t i = 0; i < static_cast<std::size_t>(events_count_); ++i) {
    constexpr std::uint32_t failed = EPOLLERR | EPOLLHUP;
    const std::uint32_t has = ready[i].events;
    events_[i] = {ready[i].data.fd, (has & (EPOLLIN | failed)) != 0, (has & (EPOLLOUT | failed)) != 0};
  }
  return n;
}

// A step of descriptor::transfer().
io_step dns_channel::look(io_result& r) noexcept {
  const long n = poll_sockets(0);
  if (n == -EINTR) return io_step::more;
  if (n == 0) return io_step::again;
  if (n < 0) r.error = static_cast<int>(-n);
  return io_step::done;
}

// After exit() no thread serves the poller.
void dns_channel::wait_in_place(std::int64_t deadline_ns) noexcept {
  constexpr std::int64_t ms_ns = 1'000'000;
  constexpr std::int64_t ms_max = 60'000;
  int timeout_ms = -1;
  if (deadline_ns != sched::platform::forever_ns) {
    const std::int64_t left_ns = std::max<std::int64_t>(deadline_ns - sched::platform::now_ns(), 0);
    timeout_ms = static_cast<int>(std::min(left_ns / ms_ns + 1, ms_max));
  }
  const long n = blocking(will_block, [&] { return poll_sockets(timeout_ms); });
  if (n < 0 && n != -EINTR) watch_error_ = static_cast<int>(-n);
}

void dns_channel::begin(dns_lookup& l) noexcept {
  if (l.asked == 0) {
    l.next_begun = std::exchange(begun_, &l);
    if (l.next_begun != nullptr) l.next_begun->prev_begun = &l;
  }
  const auto ask = [&](std::size_t i, auto&& question) {
    l.questions[i] = {&l, this, ARES_SUCCESS};
    question(&l.questions[i]);
  };
  if (l.name.ip.is_ip()) {
    sockaddr_storage sa;
    (void)l.name.ip.to_sockaddr(sa);
    l.outstanding = 1;
    ++outstanding_;
    ask(0, [&](void* q) {
      if (sa.ss_family == AF_INET) {
        const auto& in = reinterpret_cast<const sockaddr_in&>(sa);
        ::ares_gethostbyaddr(channel_, &in.sin_addr, sizeof in.sin_addr, AF_INET, callbacks::on_host, q);
      } else {
        const auto& in = reinterpret_cast<const sockaddr_in6&>(sa);
        ::ares_gethostbyaddr(channel_, &in.sin6_addr, sizeof in.sin6_addr, AF_INET6, callbacks::on_host, q);
      }
    });
    return;
  }
  const bool both = l.name.family == address::family::none;
  l.outstanding = both ? 2 : 1;  // before the first callback, which may come at once
  outstanding_ += both ? 2 : 1;
  const sys::c_string name(l.to_ask[l.asked]);
  const auto ask_for = [&](int family) {
    ares_addrinfo_hints hints{};
    hints.ai_flags = ARES_AI_NOSORT;
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    ask(family == AF_INET ? 0 : 1,
        [&](void* q) { ::ares_getaddrinfo(channel_, name.get(), nullptr, &hints, callbacks::on_addresses, q); });
  };
  if (both || l.name.family == address::family::ipv6) ask_for(AF_INET6);
  if (both || l.name.family == address::family::ipv4) ask_for(AF_INET);
}

void dns_channel::answered(dns_lookup::question& q, int status, const ares_addrinfo* found) noexcept {
  dns_lookup& l = *q.owner;
  if (status == ARES_SUCCESS && found != nullptr && !l.ended) {
    try {
      for (const ares_addrinfo_node* n = found->nodes; n != nullptr; n = n->ai_next) {
        if (l.found.addresses.size() == addresses_max) break;
        address a = address::from_sockaddr(n->ai_addr, static_cast<socklen_t>(n->ai_addrlen));
        const bool fits = l.name.family == address::family::none || a.kind() == l.name.family;
        if (a.is_ip() && fits) l.found.addresses.push_back(a.with_port(0));
      }
    } catch (const std::bad_alloc&) {
      status = ARES_ENOMEM;
    }
  }
  count_answer(q, status);
}

void dns_channel::answered(dns_lookup::question& q, int status, const hostent* found) noexcept {
  dns_lookup& l = *q.owner;
  if (status == ARES_SUCCESS && found != nullptr && !l.ended) {
    const auto add = [&l](const char* name) {
      std::vector<std::string>& all = l.found.names;
      if (name == nullptr || all.size() == addresses_max) return;
      if (std::find(all.begin(), all.end(), name) == all.end()) all.emplace_back(name);
    };
    try {
      add(found->h_name);
      for (char** alias = found->h_aliases; alias != nullptr && *alias != nullptr; ++alias) add(*alias);
    } catch (const std::bad_alloc&) {
      status = ARES_ENOMEM;
    }
  }
  count_answer(q, status);
}

void dns_channel::count_answer(dns_lookup::question& q, int status) noexcept {
  dns_lookup& l = *q.owner;
  q.status = status;
  --outstanding_;
  if (--l.outstanding == 0) {
    l.next_due = std::exchange(due_, &l);
  } else if (!l.ended && !l.found.addresses.empty()) {
    l.ends_half_at_ns = sched::platform::now_ns() + half_ns;
    next_half_ns_ = std::min(next_half_ns_, l.ends_half_at_ns);
  }
}

void dns_channel::note_refusal(const unsigned char* packet, std::size_t size, const sockaddr* from,
                               unsigned from_size) noexcept {
  constexpr std::size_t header = 12;
  constexpr int no_such_name = 3;
  if (size < header || (packet[2] & 0x80) == 0) return;
  const int code = packet[3] & 0x0f;
  if (code == 0 || code == no_such_name) return;
  std::array<char, 256> room;
  const std::string_view asked = question_in(packet, size, room);
  for (dns_lookup* l = begun_; l != nullptr; l = l->next_begun) {
    if (l->ended || l->name.ip.is_ip()) continue;
    const std::string& name = l->to_ask[l->asked];
    if (name.size() != asked.size() ||
        !std::equal(name.begin(), name.end(), asked.begin(), [](char a, char b) { return lower(a) == lower(b); })) {
      continue;
    }
    l->refusal = code;
    l->refused_by = address::from_sockaddr(from, from_size);
  }
}

absl::Status dns_channel::error_of(const dns_lookup& l, int status) const {
  const std::string what = l.name.what();
  const std::string servers = "; servers: " + settings_.servers_text;
  if (status == ARES_ENOTFOUND || status == ARES_ENODATA) {
    const bool is_ip = l.name.ip.is_ip();
    const char* const lacks = is_ip                                    ? "the address has no name"
                              : !l.exists                              ? "no such host (NXDOMAIN)"
                              : l.name.family == address::family::none ? "the host has no address"
                              : l.name.family == address::family::ipv4 ? "the host has no IPv4 address"
                                                                       : "the host has no IPv6 address";
    return absl::NotFoundError(describe(what, {}, lacks + servers));
  }
  if (status == ARES_ENOMEM) return errno_status(ENOMEM, what, {});
  if (status == ARES_EBADNAME) return absl::InvalidArgumentError(describe(what, {}, "not a name that DNS can have"));
  if (l.refusal != 0) {
    const std::string text = std::string(name_of_refusal(l.refusal)) + " from " + l.refused_by.to_string();
    return absl::UnavailableError(describe(what, {}, text));
  }
  if (status == ARES_ECONNREFUSED && socket_error_ != 0) {
    return errno_status(socket_error_, what + ": ask a server", {});
  }
  const std::string text = status == ARES_ETIMEOUT       ? "no answer"
                           : status == ARES_ECONNREFUSED ? "no server can be reached"
                                                         : ::ares_strerror(status);
  return absl::UnavailableError(describe(what, {}, text + servers));
}

}  // namespace baton::net
