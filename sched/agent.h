// An agent is what can wait and be readied. It is a fiber, or a plain thread. A plain thread is a thread that is no M,
// or the thread of a fiber inside enter_syscall .. exit_syscall, which counts as one. Everything that waits, above this
// layer, is written against agents, so it works for both.
#pragma once

#include <baton/sched/park_word.h>
#include <baton/sched/wait_reason.h>

#include <cstdint>

namespace baton::sched {

struct agent {
  enum class kind : std::uint8_t { fiber, plain_thread };

  constexpr explicit agent(kind k) noexcept : what(k) {}

  park_word word;
  const kind what;
  wait_reason reason = wait_reason::none;  // written by the agent itself before it parks
};

}  // namespace baton::sched
