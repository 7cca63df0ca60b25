#include <baton/runtime/fiber.h>

#include <baton/netpoll/cancellation.h>
#include <baton/runtime/context.h>
#include <baton/runtime/detail/errors.h>
#include <baton/sched/fiber.h>
#include <baton/sched/log/fatal.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/revocable_join.h>
#include <baton/sched/stack/stack.h>
#include <baton/syscall/status.h>

#include <memory>
#include <ostream>

namespace baton {

std::string to_string(fiber_id id) { return id ? std::to_string(id.value()) : "none"; }
std::ostream& operator<<(std::ostream& out, fiber_id id) { return out << to_string(id); }

namespace detail {

void throw_no_stack(std::size_t wanted) {
  throw no_stack(sched::stack_class_for(wanted) == sched::stack_classes
                     ? "no stack for a fiber: the largest has 8 MiB (attributes.stack_size; a closure takes half of it "
                       "at most)"
                     : "no stack for a fiber: no memory");
}

std::exception_ptr caught_exception() noexcept {
  std::exception_ptr e = std::current_exception();
  if (e == nullptr) {
    sched::fatal(
        "pthread_exit or pthread_cancel would end a thread that belongs to the runtime: a fiber ends when its function "
        "returns");
  }
  return e;
}

void escaped_exception() noexcept {
  char who[sched::fiber_label_max];
  sched::describe_caller(who, sizeof who);
  char what[512];
  describe_exception(caught_exception(), what, sizeof what);
  sched::last_warning("%s: an exception escaped: %s", who, what);
  std::terminate();
}

void log_unfetched_exception(sched::fiber* f, std::exception_ptr& e) noexcept {
  char what[512];
  describe_exception(e, what, sizeof what);
  char who[sched::fiber_label_max];
  sched::label_fiber(sched::id_of(f), f->name, who);
  sched::warn("%s: an exception nobody fetched: %s", who, what);
  e = nullptr;
}

namespace {

// Lets a context end a wait for a fiber's end.
struct end_join final : net::cancellation::node {
  explicit end_join(sched::revocable_join& j) noexcept : wait(j) {}
  void cancelled() noexcept override { wait.revoke(); }
  sched::revocable_join& wait;
};

bool joined_unless_done(sched::fiber* f, net::cancellation* source) noexcept {
  sched::revocable_join wait(f);
  if (!wait.begin()) return true;
  end_join link(wait);
  const bool subscribed = source == nullptr || source->subscribe(link);
  if (!subscribed) wait.revoke();
  const bool ended = wait.park();
  if (source != nullptr && subscribed) source->unsubscribe(link);
  return ended;
}

}  // namespace

absl::Status await_end_unless_done(sched::fiber* f, const context& ctx) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the caller's may be assigned to during the wait
  const context keep = ctx;
  const std::shared_ptr<net::cancellation> source = keep.as_cancellation();
  if (!keep.is_done() && joined_unless_done(f, source.get())) return absl::OkStatus();
  return status_for_reason(keep.error(), "join of a fiber");
}

void not_joinable(const char* what) noexcept {
  sched::fatal("%s of a fiber that is not joinable: it was joined, detached or moved from", what);
}

}  // namespace detail
}  // namespace baton
