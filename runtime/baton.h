// Public API: all of baton. A header whose first line does not begin so is internal.
//
// "Switches." ("Switch." for several functions), in the comments of these headers, marks what may switch: the call may
// return on another thread. A value read from a thread_local before the call (errno, too) must not be used after it,
// and no std::mutex may be held across it. docs/concurrency.md has what holds for all of them.
#pragma once

#include <baton/sched/requirements.h>

#include <baton/runtime/barrier.h>
#include <baton/runtime/blocking_context.h>
#include <baton/runtime/call_sites.h>
#include <baton/runtime/channel.h>
#include <baton/runtime/command.h>
#include <baton/runtime/condition_variable.h>
#include <baton/runtime/condition_variable_any.h>
#include <baton/runtime/context.h>
#include <baton/runtime/directory.h>
#include <baton/runtime/event.h>
#include <baton/runtime/exit_status.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/fiber_id.h>
#include <baton/runtime/fiber_local.h>
#include <baton/runtime/file.h>
#include <baton/runtime/file_lock.h>
#include <baton/runtime/future.h>
#include <baton/runtime/io.h>
#include <baton/runtime/latch.h>
#include <baton/runtime/mapping.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/on_cancel.h>
#include <baton/runtime/once.h>
#include <baton/runtime/options.h>
#include <baton/runtime/os_signals.h>
#include <baton/runtime/process.h>
#include <baton/runtime/recursive_mutex.h>
#include <baton/runtime/relay.h>
#include <baton/runtime/reports.h>
#include <baton/runtime/run.h>
#include <baton/runtime/select.h>
#include <baton/runtime/selector.h>
#include <baton/runtime/semaphore.h>
#include <baton/runtime/shared_mutex.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/task_group.h>
#include <baton/runtime/this_fiber.h>
#include <baton/runtime/ticker.h>
#include <baton/runtime/timer.h>
#include <baton/runtime/trace.h>
#include <baton/runtime/version.h>
#include <baton/runtime/wait_group.h>
#include <baton/runtime/when_all.h>

#include <baton/netpoll/net.h>

#include <baton/syscall/blocking.h>
#include <baton/syscall/blocking_gate.h>
#include <baton/syscall/bytes.h>
#include <baton/syscall/enter_exit.h>
#include <baton/syscall/error_name.h>
#include <baton/syscall/event_descriptors.h>
#include <baton/syscall/files.h>
#include <baton/syscall/fork_exec.h>
#include <baton/syscall/ids.h>
#include <baton/syscall/memory.h>
#include <baton/syscall/names.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/pinning.h>
#include <baton/syscall/processes.h>
#include <baton/syscall/raw_syscall.h>
#include <baton/syscall/result.h>
#include <baton/syscall/scheduling.h>
#include <baton/syscall/sockets.h>
#include <baton/syscall/status.h>
#include <baton/syscall/storage.h>
#include <baton/syscall/syscall.h>
#include <baton/syscall/system.h>
#include <baton/syscall/time.h>
#include <baton/syscall/transfers.h>
#include <baton/syscall/wait_status.h>
#include <baton/syscall/xattr.h>
