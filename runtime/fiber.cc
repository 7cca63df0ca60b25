#include <baton/runtime/fiber.h>

#include <baton/runtime/errors.h>
#include <baton/sched/fatal.h>
#include <baton/sched/fiber.h>

#include <ostream>

namespace baton {

std::string to_string(fiber_id id) { return id ? std::to_string(id.value()) : "none"; }
std::ostream& operator<<(std::ostream& out, fiber_id id) { return out << to_string(id); }

namespace detail {

void throw_no_memory() { throw std::bad_alloc(); }

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
  char who[96];
  sched::describe_caller(who, sizeof who);
  char what[512];
  describe_exception(caught_exception(), what, sizeof what);
  sched::warn("%s: an exception escaped: %s", who, what);
  std::terminate();
}

void log_unfetched_exception(sched::fiber* f, std::exception_ptr& e) noexcept {
  char what[512];
  describe_exception(e, what, sizeof what);
  const auto id = static_cast<unsigned long long>(sched::id_of(f));
  if (f->name[0] != '\0') {
    sched::warn("fiber %llu \"%.*s\": an exception nobody fetched: %s", id, static_cast<int>(sizeof f->name), f->name,
                what);
  } else {
    sched::warn("fiber %llu: an exception nobody fetched: %s", id, what);
  }
  e = nullptr;
}

void not_joinable(const char* what) noexcept {
  sched::fatal("%s of a fiber that is not joinable: it was joined, detached or moved from", what);
}

}  // namespace detail
}  // namespace baton
