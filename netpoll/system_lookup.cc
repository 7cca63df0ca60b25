// getaddrinfo blocks (files, DNS, whatever nsswitch.conf says) without a limit, and cannot be cancelled. So callers
// leave it to the workers: fibers of this file, at most workers_allowed() of them, each in a declared call. They are
// started when there is work and end when there is none. lookup.h has the protocol of the callers. Here:
//
//   serve    A worker takes the first look-up of the queue and calls getaddrinfo without the lock.
//   give up  If there are no more waiters and no worker has begun, the look-up leaves the queue and the table. So
//            look-ups do not pile up behind a dead resolver.
//
// After exit() has stopped the fibers, no worker runs. Then the caller calls getaddrinfo itself.
#include <baton/netpoll/system_lookup.h>

#include <baton/netpoll/error_text.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/spawn.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/c_string.h>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

namespace baton::net {

namespace {

// Each worker occupies a thread while it looks a name up. Some may wait for a dead server, 10 s or so, while others go
// on.
constexpr int workers_max = 32;
// At most a quarter of the allowed threads, so that others are left when no server answers.
int workers_allowed() noexcept { return std::clamp(sched::max_threads() / 4, 1, workers_max); }
// getaddrinfo takes tens of KiB; modules of nsswitch.conf may take more.
constexpr std::size_t worker_stack = 256 * 1024;

struct queued_lookup : lookup {
  using lookup::lookup;

  // Guarded by the lock of the desk's table.
  queued_lookup* next = nullptr;
  queued_lookup* prev = nullptr;
  bool queued = false;
};

struct lookup_desk {
  lookup_table table;
  queued_lookup* first ABSL_GUARDED_BY(table.lock) = nullptr;
  queued_lookup* last ABSL_GUARDED_BY(table.lock) = nullptr;
  int workers ABSL_GUARDED_BY(table.lock) = 0;

  void enqueue(queued_lookup& l) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock) {
    l.prev = std::exchange(last, &l);
    (l.prev != nullptr ? l.prev->next : first) = &l;
    l.queued = true;
  }
  void unqueue(queued_lookup& l) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock) {
    (l.prev != nullptr ? l.prev->next : first) = l.next;
    (l.next != nullptr ? l.next->prev : last) = l.prev;
    l.next = l.prev = nullptr;
    l.queued = false;
  }
  // Returns null if the queue is empty.
  [[nodiscard]] std::shared_ptr<lookup> take_first() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock) {
    if (first == nullptr) return nullptr;
    std::shared_ptr<lookup> l = first->self;
    unqueue(*first);
    return l;
  }
};

// Never destroyed: look-ups may end after the last waiter has left.
constinit lookup_desk desk{};

// NOT_FOUND is only for a name that does not exist. What getaddrinfo could not find out is another error, also if
// getaddrinfo says EAI_NONAME because it was refused a descriptor or memory.
absl::Status lookup_error(int code, int error, const lookup_name& name) {
  const std::string what = name.what();
  const std::string text = describe(what, {}, ::gai_strerror(code));
  switch (code) {
    case EAI_SYSTEM: return error != 0 ? errno_status(error, what, {}) : absl::UnavailableError(text);
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_SERVICE:
      if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
        return errno_status(error, what, {});
      }
      return absl::NotFoundError(name.service.empty() ? text : describe(what, {}, "unknown service"));
    case EAI_AGAIN:
    case EAI_FAIL:
    case EAI_INTR: return absl::UnavailableError(text);
    case EAI_MEMORY: return status_from_errno(ENOMEM, what);
    case EAI_OVERFLOW:
    case EAI_IDN_ENCODE: return absl::InvalidArgumentError(text);
    default: return absl::InternalError(text);  // we asked for something that does not exist
  }
}

// Switches. Blocks without a limit, as does the next function.
lookup_result ask_for_addresses(const lookup_name& name) {
  const sys::c_string host(name.host);
  const sys::c_string service(name.service);
  for (const sys::c_string* text : {&host, &service}) {
    if (text->error() != 0) return errno_status(text->error(), "resolve", "a name with a NUL inside");
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = name.family == address::family::ipv4   ? AF_INET
                    : name.family == address::family::ipv6 ? AF_INET6
                                                           : AF_UNSPEC;
  addrinfo* found = nullptr;
  int code = 0;
  int error = 0;
  blocking(will_block, [&] {
    errno = 0;
    code = ::getaddrinfo(name.host.empty() ? nullptr : host.get(), name.service.empty() ? nullptr : service.get(),
                         &hints, &found);
    error = errno;
  });
  struct list_owner {
    addrinfo* list;
    ~list_owner() {
      if (list != nullptr) ::freeaddrinfo(list);
    }
  } const owner{code == 0 ? found : nullptr};
  if (code != 0) return lookup_error(code, error, name);
  found_names all;
  for (const addrinfo* i = found; i != nullptr; i = i->ai_next) {
    address a = address::from_sockaddr(i->ai_addr, i->ai_addrlen);
    const auto& had = all.addresses;
    if (a.is_ip() && std::find(had.begin(), had.end(), a) == had.end()) all.addresses.push_back(std::move(a));
  }
  if (all.addresses.empty()) return absl::NotFoundError(describe(name.what(), {}, "no IP address"));
  return all;
}

lookup_result ask_for_name(const lookup_name& name) {
  sockaddr_storage sa;
  const socklen_t size = name.ip.to_sockaddr(sa);
  char text[NI_MAXHOST] = {};
  int code = 0;
  int error = 0;
  blocking(will_block, [&] {
    errno = 0;
    code = ::getnameinfo(reinterpret_cast<const sockaddr*>(&sa), size, text, sizeof text, nullptr, 0, NI_NAMEREQD);
    error = errno;
  });
  if (code != 0) return lookup_error(code, error, name);
  return found_names{.names = {text}};
}

lookup_result ask_c_library(const lookup_name& name) {
  return name.ip.is_ip() ? ask_for_name(name) : ask_for_addresses(name);
}

lookup_result result_for(const lookup_name& name) try { return ask_c_library(name); } catch (const std::exception&) {
  return no_memory();
}

void finish(lookup& l, lookup_result result) noexcept {
  sched::waiter_list claimed;
  std::shared_ptr<lookup> share;
  {
    const sched::platform::lock_guard hold(desk.table.lock);
    share = desk.table.end(l, std::move(result), claimed);
  }
  ready_all(claimed);
}

// A worker.
void serve(sched::fiber*, void*) noexcept {
  for (;;) {
    std::shared_ptr<lookup> next;
    {
      const sched::platform::lock_guard hold(desk.table.lock);
      next = desk.take_first();
      if (next == nullptr) {
        --desk.workers;
        return;
      }
    }
    finish(*next, result_for(next->name));
  }
}

void start_worker() noexcept {
  const sched::prepared_fiber p = sched::prepare_fiber({"resolver", worker_stack}, 1, 1);
  if (p.f != nullptr) {
    static constexpr sched::fiber_start start{.entry = serve};
    sched::launch(p.f, start, false);
    return;
  }
  // There is no memory for a stack. The existing workers do the work. If there is none, no worker will come.
  for (;;) {
    std::shared_ptr<lookup> stranded;
    {
      const sched::platform::lock_guard hold(desk.table.lock);
      if (desk.workers == 1) stranded = desk.take_first();
      if (stranded == nullptr) {
        --desk.workers;
        return;
      }
    }
    finish(*stranded, no_memory());
  }
}

// Puts the look-up into the table and w, prepared, among the waiters of the look-up that it returns.
std::shared_ptr<lookup> ask(std::shared_ptr<queued_lookup> mine, sched::waiter& w, bool& worker_is_due) noexcept {
  const int allowed = workers_allowed();
  std::shared_ptr<lookup> chosen;
  const sched::platform::lock_guard hold(desk.table.lock);
  if (lookup* const same = desk.table.find(*mine)) {
    chosen = same->self;
  } else {
    desk.table.insert(mine);
    desk.enqueue(*mine);
    worker_is_due = desk.workers < allowed;
    if (worker_is_due) ++desk.workers;
    chosen = mine;
  }
  w.prepare(sched::wait_reason::lookup);
  chosen->waiters.push_back(w);
  return chosen;
}

void give_up(lookup& l, sched::waiter& w) noexcept {
  std::shared_ptr<lookup> share;
  const sched::platform::lock_guard hold(desk.table.lock);
  l.waiters.remove(w);
  auto& q = static_cast<queued_lookup&>(l);  // all look-ups of this table are
  if (!q.queued || !l.waiters.empty()) return;
  desk.unqueue(q);
  share = desk.table.take_out(l);  // not the last share: the caller has one, too
}

}  // namespace

lookup_result look_up_by_system(lookup_name name, const wait_limits& limits) {
  if (absl::Status s = limits.check(name.what()); !s.ok()) return s;
  if (sched::is_ending()) return ask_c_library(name);
  sched::waiter w;
  bool worker_is_due = false;
  const std::shared_ptr<lookup> l = ask(std::make_shared<queued_lookup>(std::move(name)), w, worker_is_due);
  if (worker_is_due) start_worker();
  return await_end(*l, w, limits, [&]() noexcept { give_up(*l, w); });
}

}  // namespace baton::net
