#include <baton/syscall/pinning.h>

#include <baton/sched/thread_lock.h>

namespace baton {

void lock_os_thread() noexcept { sched::lock_thread(); }
void unlock_os_thread() noexcept { sched::unlock_thread(); }

}  // namespace baton
