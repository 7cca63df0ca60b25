#include <baton/runtime/stats.h>

#include <baton/netpoll/tcp_listener.h>
#include <baton/sched/counters.h>
#include <baton/syscall/blocking_gate.h>

namespace baton {

runtime_stats stats() noexcept {
  const sched::counters c = sched::read_counters();
  runtime_stats s;
  s.fibers = c.fibers;
  s.fibers_parked = c.fibers_parked;
  s.spawned = c.spawned;
  s.switches = c.switches;
  s.steals = c.steals;
  s.slices_ended = c.slices_ended;
  s.threads = c.threads;
  s.threads_idle = c.threads_idle;
  s.threads_started = c.threads_started;
  s.thread_failures = c.thread_failures;
  s.procs = c.procs;
  s.procs_idle = c.procs_idle;
  s.handoffs_predicted = c.handoffs_predicted;
  s.handoffs_unknown = c.handoffs_unknown;
  s.handoffs_hinted = c.handoffs_hinted;
  s.retakes = c.retakes;
  s.rescues = c.rescues;
  s.strict_reports = c.strict_reports;
  s.returned_slow = c.returned_slow;
  const detail::gate_totals gates = detail::read_gate_totals();
  s.gates_waiting = gates.waiting;
  s.gate_waits = gates.waits;
  s.gate_waited_ns = gates.waited_ns;
  s.polls = c.polls;
  s.timers = c.timers;
  const net::accept_counters accepts = net::read_accept_counters();
  s.accepts_dropped = accepts.dropped;
  s.accepts_put_off = accepts.put_off;
  s.stacks = c.stacks;
  s.stack_bytes = c.stack_bytes;
  s.stacks_unguarded = c.stacks_unguarded;
  s.guard = c.guard;
  s.barrier = c.barrier;
  return s;
}

std::string to_string(const runtime_stats& s) {
  std::string out;
  const auto number = [&](const char* name, std::uint64_t value) {
    out.append(name).append(1, ' ').append(std::to_string(value)).append(1, '\n');
  };
  const auto text = [&](const char* name, const char* value) {
    out.append(name).append(1, ' ').append(value).append(1, '\n');
  };
  number("fibers", s.fibers);
  number("fibers_parked", s.fibers_parked);
  number("spawned", s.spawned);
  number("switches", s.switches);
  number("steals", s.steals);
  number("slices_ended", s.slices_ended);
  number("threads", s.threads);
  number("threads_idle", s.threads_idle);
  number("threads_started", s.threads_started);
  number("thread_failures", s.thread_failures);
  number("procs", s.procs);
  number("procs_idle", s.procs_idle);
  number("handoffs_predicted", s.handoffs_predicted);
  number("handoffs_unknown", s.handoffs_unknown);
  number("handoffs_hinted", s.handoffs_hinted);
  number("retakes", s.retakes);
  number("rescues", s.rescues);
  number("strict_reports", s.strict_reports);
  number("returned_slow", s.returned_slow);
  number("gates_waiting", s.gates_waiting);
  number("gate_waits", s.gate_waits);
  number("gate_waited_ns", s.gate_waited_ns);
  number("polls", s.polls);
  number("timers", s.timers);
  number("accepts_dropped", s.accepts_dropped);
  number("accepts_put_off", s.accepts_put_off);
  number("stacks", s.stacks);
  number("stack_bytes", s.stack_bytes);
  number("stacks_unguarded", s.stacks_unguarded);
  text("guard", s.guard);
  text("barrier", s.barrier);
  return out;
}

}  // namespace baton
