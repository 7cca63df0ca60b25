// A channel of c-ares to the DNS servers, and the fiber that drives it. Internal to netpoll.
#pragma once

#include <baton/netpoll/descriptor.h>
#include <baton/netpoll/lookup.h>
#include <baton/sched/fiber_entry.h>
#include <baton/sched/platform/clock.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

struct ares_addrinfo;
struct ares_channeldata;
struct hostent;
struct iovec;
struct sockaddr;

namespace baton::net {

class dns_channel;

// A look-up that asks DNS servers.
struct dns_lookup final : lookup {
  // names: what to ask for, in turn; not used for the names of an address.
  dns_lookup(lookup_name what_to_find, std::vector<std::string> names)
      : lookup(std::move(what_to_find)), to_ask(std::move(names)) {}

  // Guarded by the lock of the table.
  dns_channel* channel = nullptr;     // from submit() until it has ended or was dropped
  std::shared_ptr<dns_lookup> mine;   // the channel's share, until it has ended and no callback is to come
  bool wanted = false;                // a caller waits for it
  dns_lookup* next = nullptr;         // in the list of those that have not begun
  dns_lookup* next_of_all = nullptr;  // in the list of those that have not ended
  dns_lookup* prev_of_all = nullptr;

  // The driver's own.
  struct question {
    dns_lookup* owner = nullptr;  // null: not asked
    dns_channel* asker = nullptr;
    int status = 0;  // of c-ares
  };
  const std::vector<std::string> to_ask;
  std::size_t asked = 0;       // index in to_ask
  question questions[2] = {};  // A, AAAA; or PTR in the first
  int outstanding = 0;
  bool ended = false;
  bool exists = false;  // one of the names has other records than those asked for
  found_names found;
  std::int64_t ends_half_at_ns = sched::platform::forever_ns;
  int refusal = 0;  // the code of a refusal: SERVFAIL, REFUSED …
  address refused_by;
  dns_lookup* next_begun = nullptr;
  dns_lookup* prev_begun = nullptr;
  dns_lookup* next_due = nullptr;  // in the list of those whose questions have all been answered
};

// The owner of the channels of one table.
struct dns_owner {
  lookup_table table;
  // Guarded by the lock of the table.
  dns_channel* driven = nullptr;  // the channels that have a driver
  int drivers = 0;                // how many driver fibers exist, also those about to end
  sched::waiter_list closers;     // wait until there are none
};

struct dns_settings {
  std::string servers_path;          // resolv.conf; "": none
  std::vector<std::string> servers;  // "1.2.3.4:53", "[::1]:53"; empty: those of resolv.conf
  std::string servers_text;          // for messages
  int try_timeout_ms = 5000;
  int tries = 2;
};

class dns_channel final : public std::enable_shared_from_this<dns_channel> {
 public:
  // Switches: reads files. Fails with RESOURCE_EXHAUSTED, or with INVALID_ARGUMENT for a server that is not an address.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<dns_channel>> open(dns_owner& owner, dns_settings settings,
                                                                         std::uint64_t version);
  ~dns_channel();
  dns_channel(const dns_channel&) = delete;
  dns_channel& operator=(const dns_channel&) = delete;

  // The version of the rules that it was opened for.
  const std::uint64_t version;

  // With the lock of the table:

  // Takes the look-up over, as one that has a waiter. The caller calls wake() afterwards, without the lock.
  void submit(const std::shared_ptr<dns_lookup>& l) noexcept;
  // A caller has joined the look-up, which may have had no waiter.
  void want(dns_lookup& l) noexcept;
  // The last waiter has left. Returns true if no look-up of this channel is wanted any more: the caller calls wake(),
  // without the lock, and the driver drops all of them at once.
  [[nodiscard]] bool leave(dns_lookup& l) noexcept;
  // No later caller joins the look-ups of this channel: it has been replaced.
  void retire() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS;
  // Claims the waiters of all look-ups with sched::waiter::closed, and wants none of them any more.
  void abandon_all(sched::waiter_list& claimed) noexcept;
  // Returns how many look-ups go on without a waiter.
  [[nodiscard]] std::size_t unwanted() const noexcept { return live_ - wanted_; }
  // In the owner's list of driven channels.
  dns_channel* next_driven = nullptr;
  dns_channel* prev_driven = nullptr;
  bool told_to_close = false;

  // Without the lock:

  // Never switches. Gets the driver to look at what has changed. Starts it if it is not there.
  void wake() noexcept;
  // Switches. Drives the channel on the caller's own thread until no look-up is left or the time is up. For calls
  // after exit(): their thread owns the channel alone.
  void drive_in_place(std::int64_t until_ns) noexcept;

 private:
  struct work;
  struct callbacks;
  static constexpr int events_max = 16;
  // How long one family may take after the other has brought addresses.
  static constexpr std::int64_t half_ns = 300'000'000;

  dns_channel(dns_owner& owner, dns_settings settings, std::uint64_t of_version) noexcept;
  [[nodiscard]] absl::Status start();
  static void serve(sched::fiber*, void* closure) noexcept;
  static void driver_ended(dns_owner& owner) noexcept;
  void link_driven() noexcept;
  void unlink_driven() noexcept;
  void unlink_of_all(dns_lookup& l) noexcept;

  // The driver's.
  void drive(std::int64_t until_ns) noexcept;
  [[nodiscard]] bool take_work(work& w) noexcept;
  void drop_later(dns_lookup& l, work& w) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(owner_.table.lock);
  void begin(dns_lookup& l) noexcept;
  void serve_sockets() noexcept;
  void end_halves() noexcept;
  void conclude_due() noexcept;
  bool conclude(dns_lookup& l);
  void end(dns_lookup& l, lookup_result result) noexcept;
  void drop(dns_lookup& l) noexcept;
  void give_up_all(absl::Status why) noexcept;
  void strand() noexcept;
  void plan_timeout(bool has_begun) noexcept;
  void wait(std::int64_t until_ns) noexcept;
  void wait_in_place(std::int64_t deadline_ns) noexcept;
  long poll_sockets(int timeout_ms) noexcept;
  io_step look(io_result& r) noexcept;
  [[nodiscard]] absl::Status error_of(const dns_lookup& l, int status) const;
  // From callbacks of c-ares.
  void answered(dns_lookup::question& q, int status, const ares_addrinfo* found) noexcept;
  void answered(dns_lookup::question& q, int status, const hostent* found) noexcept;
  void count_answer(dns_lookup::question& q, int status) noexcept;
  void watch(int fd, bool readable, bool writable) noexcept;
  void note_refusal(const unsigned char* packet, std::size_t size, const sockaddr* from, unsigned from_size) noexcept;

  dns_owner& owner_;
  const dns_settings settings_;
  ares_channeldata* channel_ = nullptr;
  descriptor io_;     // of an epoll instance, in which the sockets of c-ares are
  int sockets_ = -1;  // its number

  // Guarded by the lock of the table.
  dns_lookup* first_ = nullptr;  // those that have not begun
  dns_lookup* last_ = nullptr;
  dns_lookup* all_ = nullptr;  // those that have not ended
  std::size_t live_ = 0;       // how many these are, and how many of them callers wait for
  std::size_t wanted_ = 0;
  bool driven_ = false;     // a driver is there, or about to be
  bool start_due_ = false;  // wake() starts it
  bool asleep_ = false;
  bool holds_back_ = false;  // what has not begun waits for answers; written by the driver

  // The driver's.
  std::size_t outstanding_ = 0;  // questions
  dns_lookup* begun_ = nullptr;
  dns_lookup* due_ = nullptr;
  std::int64_t next_timeout_ns_ = sched::platform::forever_ns;
  std::int64_t next_half_ns_ = sched::platform::forever_ns;
  std::int64_t begin_again_ns_ = 0;
  absl::Status failure_;  // why everything is given up
  int watch_error_ = 0;
  int socket_error_ = 0;      // the errno for which the last socket could not be opened or connected
  bool look_is_due_ = false;  // the sockets may be ready
  bool has_deadline_ = false;
  bool in_place_ = false;  // the driver is a thread after exit()
  int events_count_ = 0;
  struct event {
    int fd;
    bool readable;
    bool writable;
  };
  std::array<event, events_max> events_ = {};
};

}  // namespace baton::net
