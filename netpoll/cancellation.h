// Public API: what netpoll asks of a context: whether it is done, and a notification when it becomes done.
//
// The interface belongs to netpoll. A class above it (runtime's context) implements it and hands it out as
//   std::shared_ptr<baton::net::cancellation> as_cancellation() const;
// The set_context() of streams and listeners, and dial_options, ask nothing else of their argument. An empty shared_ptr
// means "never cancelled".
#pragma once

#include <absl/status/status.h>

namespace baton::net {

class cancellation {
 public:
  // One subscription: an intrusive list node, owned by the subscriber. It is linked to at most one cancellation at a
  // time. It must not be destroyed or subscribed again before unsubscribe().
  class node {
   public:
    node() noexcept = default;
    node(const node&) = delete;
    node& operator=(const node&) = delete;

    // Called at most once per subscribe(), after error() has begun to return the error. Called on any thread, in user
    // state (no runtime section, and none of the runtime's locks that the subscriber could need). It must be brief: it
    // never parks, never throws, and calls neither subscribe() nor unsubscribe().
    virtual void cancelled() noexcept = 0;

    // For the implementer of cancellation, guarded by its lock; free for any use.
    node* next = nullptr;
    node* prev = nullptr;
    void* data = nullptr;

   protected:
    ~node() = default;
  };

  virtual ~cancellation() = default;

  // All members may be called from any thread at any time, also concurrently. They never switch.

  // Returns ok while it is not done, and then the reason, which never changes again (CANCELLED, DEADLINE_EXCEEDED, or
  // the cause that was given).
  [[nodiscard]] virtual absl::Status error() const = 0;

  // Returns true if n.cancelled() will be called once when this becomes done. Returns false if it is done already; then
  // n is not subscribed and will not be called.
  [[nodiscard]] virtual bool subscribe(node& n) noexcept = 0;

  // Ends the subscription. If n.cancelled() is running on another thread, this waits for its end. So nothing touches n
  // after the return. Does nothing for a node that is not subscribed here. Requires: the caller holds no lock that
  // n.cancelled() takes.
  virtual void unsubscribe(node& n) noexcept = 0;
};

}  // namespace baton::net
