// getaddrinfo blocks (files, DNS, whatever nsswitch.conf says) for as long as it likes, and cannot be cancelled. So no
// caller that waits for the result calls it. Fibers of this file's own do, workers_allowed() of them at most, each in a
// declared call. They are started when there is work and end when there is none.
//
//   ask      Make a look-up, or join the one of the same name that is queued or under way. A look-up is in the table
//            until it has ended. Prepare and join its waiters, all under the lock; then park.
//   serve    A worker takes the first look-up of the queue and calls getaddrinfo without the lock. Then, under the
//            lock, it stores the result, takes the look-up out of the table, and claims its waiters. It readies them
//            after the lock.
//   give up  (Deadline, context.) Under the lock leave the waiters. If there are no more waiters and no worker has
//            begun, the look-up leaves the queue and the table. So a dead resolver leaves no pile of look-ups.
//
// Memory: a look-up is owned by its waiters, by its worker, and, through `self`, by the table. So a caller may leave at
// any time.
//
// After exit() has stopped the fibers no worker would come. Then the caller calls getaddrinfo itself.
#include <baton/netpoll/lookup.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/wake_on_cancel.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/park.h>
#include <baton/sched/platform/lock.h>
#include <baton/sched/spawn.h>
#include <baton/sched/waiter.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/c_string.h>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

namespace baton::net {

namespace {

using addresses = absl::StatusOr<std::vector<address>>;

// Each worker occupies a thread while it looks a name up. Some may wait for a dead server, 10 s or so, while others go
// on.
constexpr int workers_max = 32;
// At most a quarter of the allowed threads, so that others are left when no server answers.
int workers_allowed() noexcept { return std::clamp(sched::max_threads() / 4, 1, workers_max); }
// getaddrinfo takes tens of KiB; modules of nsswitch.conf may take more.
constexpr std::size_t worker_stack = 256 * 1024;
constexpr std::size_t buckets_count = 256;

struct lookup {
  explicit lookup(lookup_name wanted)
      : name(std::move(wanted)),
        hash(std::hash<std::string>{}(name.host) * 31 + std::hash<std::string>{}(name.service)) {}

  const lookup_name name;
  const std::size_t hash;

  // Guarded by the desk's lock. The result is written once, before waiters are readied.
  std::shared_ptr<lookup> self;  // while it is in the table
  lookup* next_in_bucket = nullptr;
  lookup* next = nullptr;  // in the queue
  lookup* prev = nullptr;
  bool queued = false;
  sched::waiter_list waiters;
  std::optional<addresses> result;
};

struct lookup_desk {
  sched::platform::spin_lock lock;
  lookup* buckets[buckets_count] ABSL_GUARDED_BY(lock) = {};
  lookup* first ABSL_GUARDED_BY(lock) = nullptr;
  lookup* last ABSL_GUARDED_BY(lock) = nullptr;
  int workers ABSL_GUARDED_BY(lock) = 0;

  lookup* find(const lookup& like) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    lookup* l = buckets[like.hash % buckets_count];
    while (l != nullptr && !(l->hash == like.hash && l->name == like.name)) l = l->next_in_bucket;
    return l;
  }
  void insert(const std::shared_ptr<lookup>& l) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    l->self = l;
    l->next_in_bucket = std::exchange(buckets[l->hash % buckets_count], l.get());
    l->prev = std::exchange(last, l.get());
    (l->prev != nullptr ? l->prev->next : first) = l.get();
    l->queued = true;
  }
  void unqueue(lookup& l) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    (l.prev != nullptr ? l.prev->next : first) = l.next;
    (l.next != nullptr ? l.next->prev : last) = l.prev;
    l.next = l.prev = nullptr;
    l.queued = false;
  }
  // Takes l out of the table. The table's share goes to the caller, which drops it without the lock.
  [[nodiscard]] std::shared_ptr<lookup> take_out(lookup& l) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    lookup** at = &buckets[l.hash % buckets_count];
    while (*at != &l) at = &(*at)->next_in_bucket;
    *at = l.next_in_bucket;
    if (l.queued) unqueue(l);
    return std::move(l.self);
  }
};

// Never destroyed: look-ups may end after the last waiter has left.
constinit lookup_desk desk{};

// NOT_FOUND is only for a name that does not exist. What getaddrinfo could not find out is another error, also if
// getaddrinfo says EAI_NONAME because it was refused a descriptor or memory.
absl::Status lookup_error(int code, int error, const lookup_name& name) {
  const std::string object = name.host.empty() ? "service " + name.service : name.host;
  const std::string text = describe("resolve", object, ::gai_strerror(code));
  switch (code) {
    case EAI_SYSTEM: return error != 0 ? errno_status(error, "resolve", object) : absl::UnavailableError(text);
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_SERVICE:
      if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
        return errno_status(error, "resolve", object);
      }
      return absl::NotFoundError(name.host.empty() ? describe("resolve", object, "unknown service") : text);
    case EAI_AGAIN:
    case EAI_FAIL:
    case EAI_INTR: return absl::UnavailableError(text);
    case EAI_MEMORY: return status_from_errno(ENOMEM, "resolve " + object);
    case EAI_OVERFLOW:
    case EAI_IDN_ENCODE: return absl::InvalidArgumentError(text);
    default: return absl::InternalError(text);  // we asked for something that does not exist
  }
}

// Switches. Blocks for as long as the C library likes.
addresses ask_c_library(const lookup_name& name) {
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
  std::vector<address> all;
  for (const addrinfo* i = found; i != nullptr; i = i->ai_next) {
    address a = address::from_sockaddr(i->ai_addr, i->ai_addrlen);
    if (a.is_ip() && std::find(all.begin(), all.end(), a) == all.end()) all.push_back(std::move(a));
  }
  if (all.empty()) return absl::NotFoundError(describe("resolve", name.host, "no IP address"));
  return all;
}

addresses result_for(const lookup_name& name) try { return ask_c_library(name); } catch (const std::exception&) {
  return absl::ResourceExhaustedError("resolve: no memory");
}

void finish(lookup& l, addresses result) noexcept {
  sched::waiter_list claimed;
  std::shared_ptr<lookup> share;
  {
    const sched::platform::lock_guard hold(desk.lock);
    l.result.emplace(std::move(result));
    share = desk.take_out(l);
    while (sched::waiter* const w = l.waiters.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
  }
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

// A worker.
void serve(sched::fiber*, void*) noexcept {
  for (;;) {
    std::shared_ptr<lookup> next;
    {
      const sched::platform::lock_guard hold(desk.lock);
      if (desk.first == nullptr) {
        --desk.workers;
        return;
      }
      next = desk.first->self;
      desk.unqueue(*next);
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
      const sched::platform::lock_guard hold(desk.lock);
      if (desk.workers > 1 || desk.first == nullptr) {
        --desk.workers;
        return;
      }
      stranded = desk.first->self;
      desk.unqueue(*stranded);
    }
    finish(*stranded, absl::ResourceExhaustedError("resolve: no memory for a fiber"));
  }
}

// Puts the look-up into the table and w, prepared, among the waiters of the look-up that it returns.
std::shared_ptr<lookup> ask(std::shared_ptr<lookup> mine, sched::waiter& w, bool& worker_is_due) noexcept {
  const int allowed = workers_allowed();
  const sched::platform::lock_guard hold(desk.lock);
  if (lookup* const same = desk.find(*mine)) {
    mine = same->self;
  } else {
    desk.insert(mine);
    worker_is_due = desk.workers < allowed;
    if (worker_is_due) ++desk.workers;
  }
  w.prepare(sched::wait_reason::lookup);
  mine->waiters.push_back(w);
  return mine;
}

void give_up(lookup& l, sched::waiter& w) noexcept {
  std::shared_ptr<lookup> share;
  const sched::platform::lock_guard hold(desk.lock);
  l.waiters.remove(w);
  if (l.queued && l.waiters.empty()) share = desk.take_out(l);  // not the last share: the caller has one, too
}

}  // namespace

absl::Status wait_limits::check(const std::string& what) const {
  if (context != nullptr) {
    if (absl::Status reason = context->error(); !reason.ok()) return status_for_reason(reason, what);
  }
  if (deadline_ns != sched::platform::forever_ns && sched::platform::now_ns() >= deadline_ns) {
    return absl::DeadlineExceededError(what + ": deadline exceeded");
  }
  return absl::OkStatus();
}

addresses look_up(lookup_name name, const wait_limits& limits) {
  const std::string what = "resolve " + (name.host.empty() ? "service " + name.service : name.host);
  if (absl::Status s = limits.check(what); !s.ok()) return s;
  if (sched::is_ending()) return ask_c_library(name);
  std::shared_ptr<lookup> l = std::make_shared<lookup>(std::move(name));
  sched::waiter w;
  bool worker_is_due = false;
  l = ask(std::move(l), w, worker_is_due);
  if (worker_is_due) start_worker();
  wake_on_cancel watch(limits.context.get(), w);
  const std::uint32_t outcome = w.wait(limits.deadline_ns);
  watch.end();
  if (outcome == sched::waiter::signalled) return *l->result;
  give_up(*l, w);
  if (outcome == sched::waiter::cancelled) return status_for_reason(limits.context->error(), what);
  return absl::DeadlineExceededError(what + ": deadline exceeded");
}

}  // namespace baton::net
