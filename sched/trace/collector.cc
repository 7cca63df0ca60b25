// The collector reads all rings in turn, and writes what it finds. It holds no P and takes no lock of the scheduler, so
// a slow disk costs events (they are overwritten, counted, and shown), and no fiber's time.
//
// Names. An event holds the address of a call site, or of what a fiber runs. The first time that the collector sees
// one, it writes the name. The module with the site may be gone by then, so everything is read with peek_memory().
//
// The pace: after a round in which no ring was filled by more than an eighth the collector sleeps. Rings of 2^15 events
// then hold what eight million events a second bring.
#include <baton/sched/trace/collector.h>

#include <baton/sched/call_site.h>
#include <baton/sched/closure_name.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/machine.h>
#include <baton/sched/machine_table.h>
#include <baton/sched/platform/clock.h>
#include <baton/sched/platform/futex.h>
#include <baton/sched/platform/peek_memory.h>
#include <baton/sched/platform/thread.h>
#include <baton/sched/spawn.h>
#include <baton/sched/trace/file_format.h>
#include <baton/sched/trace/ring.h>
#include <baton/sched/trace/trace.h>

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace baton::sched::trace {

namespace {

constexpr std::int64_t pause_ns = 4'000'000;
constexpr std::int64_t clock_every_ns = 1'000'000'000;
constexpr std::size_t events_at_once = 8'192;
constexpr std::size_t texts_max = 4'096;

// The texts that events name by a number.
struct texts {
  std::mutex lock;
  std::unordered_map<std::string, std::uint32_t> numbers;
  std::vector<std::string> in_order;  // that of their numbers, from 1
};

class collector {
 public:
  explicit collector(int fd) noexcept : fd_(fd) {}
  collector(const collector&) = delete;
  collector& operator=(const collector&) = delete;
  ~collector() {
    if (fd_ >= 0) static_cast<void>(::close(fd_));
  }

  [[nodiscard]] int start_thread() noexcept {
    return platform::start_thread([](void* c) { static_cast<collector*>(c)->serve(); }, this, "baton-trace",
                                  platform::signals_of_thread::blocked, &thread_);
  }

  // Requires: the thread was started. Events that were recorded before are written.
  collected end() noexcept {
    stop_.store(1, mo::release);
    platform::futex_wake(&stop_, 1);
    platform::join_thread(thread_);
    return {true, error_, events_, lost_};
  }

  void head() noexcept {
    const file_head h{.pid = static_cast<std::uint64_t>(::getpid())};
    put(&h, sizeof h);
    clock();
  }

 private:
  void serve() noexcept {
    for (bool last = false; !last;) {
      last = stop_.load(mo::acquire) != 0;
      busy_ = false;
      for_each_ring([](std::uint32_t n, const ring& r, void* c) { static_cast<collector*>(c)->drain(n, r); }, this);
      const std::int64_t now = platform::now_ns();
      if (last || now - clock_at_ > clock_every_ns) clock();
      flush();
      if (!last && !busy_) static_cast<void>(platform::futex_wait(stop_, 0, now + pause_ns));
    }
    write_chunk(chunk::end, nullptr, 0, {});
    flush();
  }

  void drain(std::uint32_t number, const ring& r) noexcept {
    std::uint64_t& from = next_of(number);
    if (r.count() - from > r.size() / 8) busy_ = true;
    for (;;) {
      std::uint64_t lost = 0;
      const std::size_t n = r.read(&from, batch_, events_at_once, &lost);
      lost_ += lost;
      events_ += n;
      if (n == 0 && lost == 0) return;
      note_thread(number);
      const events_head h{number, static_cast<std::uint32_t>(n), lost};
      for (std::size_t i = 0; i < n; ++i) name_what_is_new(batch_[i]);
      write_chunk(chunk::events, &h, sizeof h, {reinterpret_cast<const char*>(batch_), n * sizeof(event)});
      if (n < events_at_once) return;
    }
  }

  std::uint64_t& next_of(std::uint32_t number) noexcept {
    if (number == ring_of_monitor) return next_[machines_max];
    if (number == ring_of_others) return next_[machines_max + 1];
    return next_[number];
  }

 public:
  // What was recorded before this recording does not count.
  void skip(std::uint32_t number, const ring& r) noexcept { next_of(number) = r.count(); }

 private:
  void note_thread(std::uint32_t number) noexcept {
    if (number >= machines_max) return;
    const machine* const m = machine_at(number);
    const std::int32_t tid = m->tid.load(mo::relaxed);
    if (tid == tids_[number]) return;
    tids_[number] = tid;
    const thread_note n{number, tid};
    write_chunk(chunk::thread, &n, sizeof n, {});
  }

  void name_what_is_new(const event& e) noexcept {
    const bool site = e.what == kind::call_begin && e.object != 0;
    const bool code = e.what == kind::spawn && e.object != 0;
    const bool text = e.what == kind::region_begin || e.what == kind::instant;
    if (text) write_texts();
    if (!site && !code) return;
    try {
      if (!named_.insert(e.object).second) return;
    } catch (const std::bad_alloc&) {
      return;  // it has no name in this trace
    }
    char name[256];
    const std::size_t n = site ? call_site::name_at(e.object, name)
                               : copy(code_names_.of(reinterpret_cast<const fiber_start*>(e.object), nullptr), name);
    write_chunk(site ? chunk::site : chunk::code, &e.object, sizeof e.object, {name, n});
  }

  template <std::size_t size>
  static std::size_t copy(const char* from, char (&to)[size]) noexcept {
    const std::size_t n = ::strnlen(from, size);
    std::memcpy(to, from, n);
    return n;
  }

  void write_texts() noexcept;

  void clock() noexcept {
    clock_at_ = platform::now_ns();
    timespec real{};
    ::clock_gettime(CLOCK_REALTIME, &real);
    const clock_note n{platform::ticks(), platform::now_ns(), std::int64_t{real.tv_sec} * 1'000'000'000 + real.tv_nsec};
    write_chunk(chunk::clock, &n, sizeof n, {});
  }

  void write_chunk(chunk what, const void* head, std::size_t head_bytes, std::string_view rest) noexcept {
    const chunk_head h{what, static_cast<std::uint32_t>(head_bytes + rest.size())};
    put(&h, sizeof h);
    put(head, head_bytes);
    put(rest.data(), rest.size());
  }

  void put(const void* from, std::size_t n) noexcept {
    const auto* at = static_cast<const char*>(from);
    while (n > 0) {
      if (used_ == sizeof out_) flush();
      const std::size_t part = std::min(n, sizeof out_ - used_);
      std::memcpy(out_ + used_, at, part);
      used_ += part;
      at += part;
      n -= part;
    }
  }

  void flush() noexcept {
    for (std::size_t at = 0; at < used_ && error_ == 0;) {
      const ssize_t n = ::write(fd_, out_ + at, used_ - at);
      if (n >= 0) {
        at += static_cast<std::size_t>(n);
      } else if (errno != EINTR) {
        error_ = errno;  // the rest of the trace is lost, and end() says so
      }
    }
    used_ = 0;
  }

  const int fd_;
  platform::thread_handle thread_{};
  platform::atomic<std::uint32_t> stop_{0};
  bool busy_ = false;
  int error_ = 0;
  std::uint64_t events_ = 0, lost_ = 0;
  std::int64_t clock_at_ = 0;
  std::unordered_set<std::uint64_t> named_;
  closure_names code_names_;
  std::uint32_t texts_written_ = 0;
  std::uint64_t next_[machines_max + 2] = {};
  std::int32_t tids_[machines_max] = {};
  event batch_[events_at_once];
  std::size_t used_ = 0;
  char out_[std::size_t{256} << 10];
};

constinit std::mutex one_at_a_time;  // guards `current`
std::unique_ptr<collector> current;
constinit platform::atomic<int> threads{0};

texts& all_texts() {
  static auto* const all = new texts;  // never destroyed: a fiber may be inside while the process exits
  return *all;
}

void collector::write_texts() noexcept {
  texts& known = all_texts();
  for (;;) {
    char name[256];
    std::size_t n = 0;
    {
      const std::lock_guard hold(known.lock);
      if (texts_written_ >= known.in_order.size()) return;
      const std::string& text = known.in_order[texts_written_];
      n = std::min(text.size(), sizeof name);
      std::memcpy(name, text.data(), n);
    }
    const std::uint64_t number = ++texts_written_;
    write_chunk(chunk::text, &number, sizeof number, {name, n});
  }
}

}  // namespace

int collect_to(int fd, std::size_t events_each) noexcept {
  const std::lock_guard hold(one_at_a_time);
  std::unique_ptr<collector> c(new (std::nothrow) collector(fd));
  if (c == nullptr) {
    static_cast<void>(::close(fd));
    return ENOMEM;
  }
  if (current != nullptr) return EBUSY;
  static_cast<void>(::ftruncate(fd, 0));  // a pipe has no length
  for_each_ring([](std::uint32_t n, const ring& r, void* arg) { static_cast<collector*>(arg)->skip(n, r); }, c.get());
  c->head();
  threads.store(1, mo::seq_cst);  // before the thread exists: the look for deadlocks must not meet an unknown one
  if (const int error = c->start_thread(); error != 0) {
    threads.store(0, mo::seq_cst);
    return error;
  }
  if (!start(events_each)) {
    static_cast<void>(c->end());
    threads.store(0, mo::seq_cst);
    return ENOMEM;
  }
  current = std::move(c);
  return 0;
}

collected end_collecting() noexcept {
  const std::lock_guard hold(one_at_a_time);
  if (current == nullptr) return {};
  stop();
  const collected result = current->end();
  current.reset();
  threads.store(0, mo::seq_cst);
  return result;
}

int open_trace(const char* path) noexcept {
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return -errno;
  if (fd > 2) return fd;
  const int above = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);  // 0, 1 and 2 stay free for those who have closed them
  const int error = errno;
  static_cast<void>(::close(fd));
  return above < 0 ? -error : above;
}

namespace {

// Children inherit the variable, so `%p` stands for the number of the process. Returns false if there is no room.
bool write_path(const char* from, char (&to)[4096]) noexcept {
  std::size_t used = 0;
  while (*from != '\0') {
    const bool number = from[0] == '%' && from[1] == 'p';
    const int n = number ? std::snprintf(to + used, sizeof to - used, "%d", ::getpid())
                         : std::snprintf(to + used, sizeof to - used, "%c", *from);
    used += static_cast<std::size_t>(n);
    if (used >= sizeof to) return false;
    from += number ? 2 : 1;
  }
  return true;
}

}  // namespace

void collect_until_exit() noexcept {
  const char* const wanted = std::getenv("BATON_TRACE");
  if (wanted == nullptr || *wanted == '\0') return;
  char path[4096];
  if (!write_path(wanted, path)) {
    warn("BATON_TRACE: the path is too long");
    return;
  }
  const int fd = open_trace(path);
  const int error = fd < 0 ? -fd : collect_to(fd, events_each_default);
  if (error != 0) {
    warn("BATON_TRACE=%s: cannot record a trace (%s)", path, std::strerror(error));
    return;
  }
  std::atexit([] {
    const collected c = end_collecting();
    if (c.error != 0) warn("cannot write the trace (%s): the file is not complete", std::strerror(c.error));
    if (c.lost != 0) warn("the trace has lost %llu events", static_cast<unsigned long long>(c.lost));
  });
}

int collector_threads() noexcept { return threads.load(mo::acquire); }

std::uint32_t number_of_text(const char* text, std::size_t length) noexcept {
  if (!on()) return 0;
  try {
    std::string name(text, length);
    texts& known = all_texts();
    const std::lock_guard hold(known.lock);
    if (const auto found = known.numbers.find(name); found != known.numbers.end()) return found->second;
    if (known.in_order.size() >= texts_max) return 0;
    known.in_order.push_back(name);
    const auto number = static_cast<std::uint32_t>(known.in_order.size());
    known.numbers.emplace(std::move(name), number);
    return number;
  } catch (const std::bad_alloc&) {
    return 0;  // the region has no name in this trace
  }
}

}  // namespace baton::sched::trace
