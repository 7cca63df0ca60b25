#include <baton/runtime/run.h>

#include <baton/netpoll/ring.h>
#include <baton/runtime/call_sites.h>
#include <baton/sched/lifecycle.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/log/log.h>
#include <baton/sched/log/plain_text.h>

#include <new>
#include <string>

namespace baton {

namespace {

static_assert(static_cast<int>(deadlock_action::report) == static_cast<int>(sched::deadlock_response::report));
static_assert(static_cast<int>(deadlock_action::abort) == static_cast<int>(sched::deadlock_response::abort));
static_assert(static_cast<int>(deadlock_action::exit_2) == static_cast<int>(sched::deadlock_response::exit_2));

sched::settings settings_of(const options& o) noexcept {
  sched::settings s;
  s.procs = o.procs;
  s.max_threads = o.max_threads;
  s.idle_thread_ends_after_ns = o.idle_threads_end_after.ns_at_least_zero();
  s.stack_size = o.stack_size;
  s.rescue_after_ns = o.rescue_after.ns_at_least_zero();
  s.rescue = o.rescue;
  s.strict_blocking = o.strict_blocking;
  s.scatter = o.scatter;
  s.ignore_sigpipe = o.ignore_sigpipe;
  s.on_deadlock = static_cast<sched::deadlock_response>(o.on_deadlock);
  return s;
}

void start_with_defaults() noexcept {
  if (!sched::is_running()) sched::start(settings_of({}));
}

}  // namespace

namespace detail {

run_scope::run_scope(const options& o) {
  if (sched::current_fiber() != nullptr) {
    sched::fatal("run() called from a fiber: it is for threads outside the runtime");
  }
  if (sched::exits_here()) sched::fatal("run() after exit(), which has stopped all fibers");
  sched::start_for_run(settings_of(o));
}

run_scope::~run_scope() { sched::main_returned(); }

}  // namespace detail

absl::Status shutdown() {
  char why[512];
  if (sched::shut_down(why)) {
    net::ring::end();
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(std::string("shutdown: ") + why);
}

int procs() noexcept {
  start_with_defaults();
  return sched::procs();
}

int set_procs(int n) noexcept {
  start_with_defaults();
  return n < 1 ? sched::procs() : sched::set_procs(n);
}

int set_max_threads(int n) noexcept {
  start_with_defaults();
  return n < 1 ? sched::max_threads() : sched::set_max_threads(n);
}

void dump_fibers(int fd) noexcept {
  sched::dump_fibers(fd);
  try {
    std::string text;
    for (const call_site_history& h : call_sites()) {
      char plain[1024];
      text.append("call site: ").append(plain, sched::make_plain(to_string(h), plain)) += '\n';
    }
    static_cast<void>(sched::write_all(fd, text));
  } catch (const std::bad_alloc&) {
    // The fibers have been written.
  }
}

}  // namespace baton
