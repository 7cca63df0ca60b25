// The constructor and the destructor are functions of their own, and not inline, because std::stop_callback asks for
// the id of the calling thread. The compiler takes pthread_self() for a function that always returns the same, so in a
// function that has switched it could use the id of a thread that the fiber was on before.
#include <baton/runtime/detail/stop_link.h>

namespace baton::detail {

stop_link::stop_link(const std::stop_token& token, sched::waiter& w) noexcept : callback_(token, wake{&w}) {}

stop_link::~stop_link() = default;

}  // namespace baton::detail
