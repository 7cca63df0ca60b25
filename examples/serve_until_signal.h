// The life of a server: it accepts connections until a signal stops it.
#pragma once

#include <baton/baton.h>

#include <absl/cleanup/cleanup.h>
#include <absl/status/status.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <new>
#include <utility>

namespace examples {

// Lets other fibers run, which may free memory. Switches.
inline void wait_for_memory() {
  try {
    baton::this_fiber::sleep_for(std::chrono::milliseconds(5));
  } catch (const std::bad_alloc&) {
    baton::this_fiber::yield();
  }
}

// As accept(), but without memory it waits until there is some, or until the listener is closed. Switches.
template <class Listener>
auto accept_with_patience(Listener& listener) -> decltype(listener.accept()) {
  for (;;) {
    try {
      return listener.accept();
    } catch (const std::bad_alloc&) {
      if (!listener.is_open()) return absl::CancelledError();
      wait_for_memory();
    }
  }
}

// Prints the address of the listener, a TCP or a Unix one, then runs serve(stream, context) for each connection in a
// fiber of the group. The context is the group's. SIGINT or SIGTERM ends this by closing the listener: then the status
// is OK, and the caller has to end the open connections. (A second signal ends the process.) Otherwise the status says
// why no further connection could be accepted. Switches.
//
// When there is no memory for a connection, that connection waits or is closed, and the server goes on.
template <class Listener, class Serve>
absl::Status serve_until_signal(Listener& listener, baton::task_group& connections, Serve serve) {
  const baton::channel<int> stop(1);
  baton::os_signals::notify(stop, {SIGINT, SIGTERM});
  const auto stopper = baton::spawn([&] {  // joins at the end of this function
    if (stop.receive()) listener.close();  // ends the accept below
  });
  const absl::Cleanup over = [&] { stop.close(); };  // before that: no signal may have come
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  for (;;) {
    auto accepted = accept_with_patience(listener);
    if (!accepted.ok()) return absl::IsCancelled(accepted.status()) ? absl::OkStatus() : accepted.status();
    try {
      connections.spawn([serve, stream = std::move(*accepted)](const baton::context& ctx) mutable {
        try {
          serve(stream, ctx);
        } catch (const std::bad_alloc&) {
        }
      });
    } catch (const std::bad_alloc&) {
    }
  }
}

}  // namespace examples
