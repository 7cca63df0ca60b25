// Lets a std::stop_token end the wait of a sched::waiter, as net::wake_on_cancel lets a context. Internal.
//
//   w.prepare(...); publish w;  { stop_link link(token, w);  w.wait(deadline); }
#pragma once

#include <baton/sched/waiter.h>

#include <stop_token>

namespace baton::detail {

class stop_link {
 public:
  // Once a stop is requested, claims w with waiter::cancelled and readies its agent; does so at once if that has
  // happened already. Requires: w is prepared, and the caller is the agent that waits.
  stop_link(const std::stop_token& token, sched::waiter& w) noexcept;
  // Requires: w is not destroyed yet. Afterwards the request does not touch w. If the request is at this link just now,
  // on another thread, the destructor waits for the end of that; it does not switch.
  ~stop_link();
  stop_link(const stop_link&) = delete;
  stop_link& operator=(const stop_link&) = delete;

 private:
  struct wake {
    void operator()() const noexcept { who->wake(sched::waiter::cancelled); }
    sched::waiter* who;
  };
  std::stop_callback<wake> callback_;
};

}  // namespace baton::detail
