// The list of descriptors is read once, and is never freed. The caller that sets `taken` of an entry owns its
// descriptor.
#include <baton/netpoll/inherited.h>

#include <baton/netpoll/error_text.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/files.h>
#include <baton/syscall/processes.h>

#include <fcntl.h>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <limits>
#include <new>
#include <optional>
#include <utility>

namespace baton::net {

namespace {

constexpr int first_number = 3;
constexpr int count_max = 1 << 20;  // no process has more (fs.nr_open)

struct entry {
  entry(int n, std::string called) : number(n), name(std::move(called)) {}
  const int number;
  const std::string name;
  sched::platform::atomic<bool> taken{false};

  // acquire, release: the thread that gives an entry back is done with its descriptor.
  bool take() noexcept { return !taken.exchange(true, mo::acquire); }
  void give_back() noexcept { taken.store(false, mo::release); }
};

// Reads a decimal number from 0 to `largest`; as a whole, or not at all.
std::optional<int> number_in(const char* text, int largest) noexcept {
  int n = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, n);
  if (error != std::errc() || stop != end || n < 0 || n > largest) return std::nullopt;
  return n;
}

std::string descriptor_name(int number) { return "descriptor " + std::to_string(number); }

absl::Status bad(const std::string& reason) {
  return absl::InvalidArgumentError(describe("inherit", "sockets", reason));
}

// Returns true if the descriptors are for this process, which may be a child of the one that read them.
absl::StatusOr<bool> are_ours() {
  const char* const text = std::getenv("LISTEN_PID");
  if (text == nullptr || std::getenv("LISTEN_FDS") == nullptr) return false;
  const std::optional<int> pid = number_in(text, std::numeric_limits<int>::max());
  if (!pid) return bad("LISTEN_PID is not a process: " + std::string(text));
  return *pid == *sys::getpid();
}

// The names between the colons, empty ones among them.
std::vector<std::string> names_in(std::string_view list) {
  std::vector<std::string> names;
  for (;;) {
    const std::size_t colon = list.find(':');
    names.emplace_back(list.substr(0, colon));
    if (colon == list.npos) return names;
    list.remove_prefix(colon + 1);
  }
}

absl::StatusOr<std::deque<entry>> read_environment() {
  const char* const text = std::getenv("LISTEN_FDS");
  const std::optional<int> count = number_in(text, count_max);
  if (!count) return bad("LISTEN_FDS is not a number of descriptors: " + std::string(text));
  std::vector<std::string> names(static_cast<std::size_t>(*count), "unknown");
  if (const char* const list = std::getenv("LISTEN_FDNAMES"); list != nullptr && *count > 0) {
    names = names_in(list);
    if (names.size() != static_cast<std::size_t>(*count)) {
      return bad("LISTEN_FDNAMES has " + std::to_string(names.size()) + " names for " + std::to_string(*count) +
                 " descriptors");
    }
  }
  std::deque<entry> all;
  for (int i = 0; i < *count; ++i) {
    const int number = first_number + i;
    if (const auto set = sys::fcntl(number, F_SETFD, FD_CLOEXEC); !set) {
      return errno_status(set.error(), "inherit", descriptor_name(number));
    }
    all.emplace_back(number, std::move(names[static_cast<std::size_t>(i)]));
  }
  return all;
}

// The entries of this process; null: there are none.
absl::StatusOr<std::deque<entry>*> entries() {
  const absl::StatusOr<bool> ours = are_ours();
  if (!ours.ok()) return ours.status();
  if (!*ours) return nullptr;
  static absl::StatusOr<std::deque<entry>>& all = *new absl::StatusOr<std::deque<entry>>(read_environment());
  if (!all.ok()) return all.status();
  return &*all;
}

// Listeners in the making. Unless they are handed out, their descriptors go back to the list.
class harvest {
 public:
  explicit harvest(std::size_t size) {
    made_.reserve(size);
    from_.reserve(size);
  }
  harvest(const harvest&) = delete;
  harvest& operator=(const harvest&) = delete;
  ~harvest() {
    for (std::size_t i = 0; i < made_.size(); ++i) {
      (void)made_[i].release();
      from_[i]->give_back();
    }
  }

  // Requires: the caller has taken the entry. A descriptor that is not a listener stays in the list.
  absl::Status add(entry& e) {
    absl::StatusOr<tcp_listener> one = tcp_listener::adopt(e.number);
    if (one.ok()) {
      made_.push_back(*std::move(one));
      from_.push_back(&e);
      return absl::OkStatus();
    }
    e.give_back();
    const int error = errno_of(one.status());
    const bool is_none = error == ENOTSOCK || error == EPROTOTYPE || error == EINVAL;
    return is_none ? absl::OkStatus() : one.status();
  }
  std::vector<tcp_listener> hand_out() noexcept { return std::move(made_); }

 private:
  std::vector<tcp_listener> made_;
  std::vector<entry*> from_;
};

absl::StatusOr<std::vector<tcp_listener>> listeners(std::optional<std::string_view> name) try {
  const absl::StatusOr<std::deque<entry>*> all = entries();
  if (!all.ok()) return all.status();
  if (*all == nullptr) return std::vector<tcp_listener>{};
  harvest found((*all)->size());
  for (entry& e : **all) {
    if ((name && e.name != *name) || !e.take()) continue;
    if (absl::Status s = found.add(e); !s.ok()) return s;
  }
  return found.hand_out();
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "inherit", "sockets");
}

}  // namespace

absl::StatusOr<std::vector<tcp_listener>> inherited_listeners() { return listeners(std::nullopt); }
absl::StatusOr<std::vector<tcp_listener>> inherited_listeners(std::string_view name) { return listeners(name); }

absl::StatusOr<std::vector<inherited_descriptor>> inherited_descriptors() try {
  const absl::StatusOr<std::deque<entry>*> all = entries();
  if (!all.ok()) return all.status();
  std::vector<inherited_descriptor> found;
  if (*all == nullptr) return found;
  found.reserve((*all)->size());
  for (entry& e : **all) {
    std::string name = e.name;
    if (e.take()) found.push_back({std::move(name), sys::owned_fd(e.number)});
  }
  return found;
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, "inherit", "sockets");
}

}  // namespace baton::net
