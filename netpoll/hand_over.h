// Public API: a process passes its listeners to the process that takes its place, so that a restart loses no
// connection. Both processes then accept from the same queues, until the first one closes its listeners. A connection
// that no process has accepted stays in its queue.
//
//   first process:   hand_over(successor, listeners), then close the listeners and drain.
//   second process:  take_over(predecessor), then serve.
//
// Listeners are passed without names. Both programs must agree on their number and order.
#pragma once

#include <baton/netpoll/tcp_listener.h>
#include <baton/netpoll/unix_stream.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <span>
#include <vector>

namespace baton::net {

// Switches. Sends duplicates of the listeners, and waits until the successor has taken all of them. The listeners stay
// open here and go on accepting. After an error the successor has none. Errors: those of the stream, including its
// deadline and context; FAILED_PRECONDITION if a listener is not open; ABORTED if the successor could not take them.
absl::Status hand_over(unix_stream& successor, std::span<tcp_listener> listeners);

// Switches. Receives what the predecessor hands over. DATA_LOSS: the stream ended before all had come, or carried
// something else. EMFILE and other errors of adopt(): nothing is kept, and the predecessor is told.
absl::StatusOr<std::vector<tcp_listener>> take_over(unix_stream& predecessor);

}  // namespace baton::net
