// A declared call that blocks, on one P: how long until another fiber runs, and how long after the call
// its own fiber does.
//
//   declared variant=V fibers=N ms=M calls=C
//     learnt        blocking() at a site that has turned out to block
//     unknown       blocking() at a site that makes its first call: a site of its own for each
//     hinted        blocking(will_block, ...)
//     mispredicted  blocking() at a site that has been short a thousand times
//     bare          enter_syscall() at a place that makes its first call: a place of its own for each
//   prints
//     first_us      from just before the call until any other fiber returned from its yield
//     return_us     from the return of nanosleep until blocking() or exit_syscall() returned
//     due_us        from the time at which the nanosleep was to end until then: what can also be said
//                   of a runtime into whose calls one cannot look
//     and what the runtime counted during the measured calls
//
//   floor calls=C
//     wake_us       the same without a runtime: two threads by turns compute, wake the other one by a futex
//                   and block. What handing over to a sleeping thread takes on this machine; on a virtual
//                   one it depends on whether its second CPU has halted
#include "scenarios.h"
#include "yielders.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <thread>
#include <utility>

namespace handoff {

namespace {

// One call; length 0 is a short one.
struct blocking_call {
  std::int64_t length_ns = 0;
  std::int64_t ended_ns = 0;

  void operator()() noexcept {
    if (length_ns == 0) return;
    block_ns(length_ns);
    ended_ns = now_ns();
  }
};

void at_one_site(blocking_call& c) {
  baton::blocking([&c] { c(); });
}
void with_hint(blocking_call& c) {
  baton::blocking(baton::will_block, [&c] { c(); });
}
void at_a_short_site(blocking_call& c) {
  baton::blocking([&c] { c(); });
}

// The closure's type is another one for each Index, and so is the site.
template <std::size_t Index>
void at_a_new_site(blocking_call& c) {
  baton::blocking([&c] { c(); });
}

// The asm keeps the compiler from folding these into one function with one return address.
template <std::size_t Index>
__attribute__((noinline)) void bare(blocking_call& c) {
  asm volatile("" : : "i"(Index));
  baton::enter_syscall();
  c();
  baton::exit_syscall();
}

constexpr std::size_t sites_max = 64;
using call_function = void (*)(blocking_call&);

template <std::size_t... Index>
constexpr std::array<call_function, sites_max> new_sites(std::index_sequence<Index...>) {
  return {at_a_new_site<Index>...};
}
template <std::size_t... Index>
constexpr std::array<call_function, sites_max> bare_sites(std::index_sequence<Index...>) {
  return {bare<Index>...};
}

call_function function_for(const std::string& variant, std::size_t call) {
  static constexpr auto unknown = new_sites(std::make_index_sequence<sites_max>());
  static constexpr auto places = bare_sites(std::make_index_sequence<sites_max>());
  if (variant == "learnt") return at_one_site;
  if (variant == "hinted") return with_hint;
  if (variant == "mispredicted") return at_a_short_site;
  if (call >= sites_max) die("more calls than sites");
  if (variant == "unknown") return unknown[call];
  if (variant == "bare") return places[call];
  die("no such variant");
}

void teach_that_it_is_short() {
  blocking_call none;
  for (int i = 0; i < 1'000; ++i) at_a_short_site(none);
}

void add_counters(const baton::runtime_stats& before, const baton::runtime_stats& after, report& out) {
  out.add("predicted", static_cast<double>(after.handoffs_predicted - before.handoffs_predicted));
  out.add("unknown", static_cast<double>(after.handoffs_unknown - before.handoffs_unknown));
  out.add("hinted", static_cast<double>(after.handoffs_hinted - before.handoffs_hinted));
  out.add("retakes", static_cast<double>(after.retakes - before.retakes));
  out.add("rescues", static_cast<double>(after.rescues - before.rescues));
  out.add("returned_slow", static_cast<double>(after.returned_slow - before.returned_slow));
}

void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
  ::syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

}  // namespace

void declared(const arguments& a, report& out) {
  const std::string variant = a.text("variant", "learnt");
  const int calls = a.number("calls", 10);
  const int warm_up = 5;
  const std::int64_t length = a.number("ms", 10) * ms;
  baton::run(
      [&] {
        first_run first;
        yielders others(a.number("fibers", 100), first);
        pause let_them_run;
        baton::runtime_stats before;
        for (int i = 0; i < warm_up + calls; ++i) {
          if (variant == "mispredicted") teach_that_it_is_short();
          let_them_run();
          if (i == warm_up) before = baton::stats();
          // Warming up is for the threads: short calls will do, as long as they block.
          blocking_call call{i < warm_up ? 5 * ms : length};
          const call_function function = function_for(variant, static_cast<std::size_t>(i));
          const std::int64_t begin = first.arm();
          function(call);
          const std::int64_t back = now_ns();
          const std::int64_t latency = first.latency_ns();
          if (i < warm_up) continue;
          out.add("first_us", in_us(latency));
          out.add("return_us", in_us(back - call.ended_ns));
          out.add("due_us", in_us(back - begin - length));
        }
        add_counters(before, baton::stats(), out);
      },
      {.procs = 1});
}

void floor(const arguments& a, report& out) {
  const int calls = a.number("calls", 10);
  const std::int64_t length = a.number("ms", 10) * ms;
  std::array<std::atomic<std::uint32_t>, 2> turn{};
  std::int64_t woken_by_ns = 0;  // guarded by whose turn it is
  const auto take_turns = [&](std::size_t me) {
    std::atomic<std::uint32_t>& mine = turn.at(me);
    std::atomic<std::uint32_t>& other = turn.at(1 - me);
    for (int i = 0; i < calls; ++i) {
      while (mine.load() == 0) futex(mine, FUTEX_WAIT, 0);
      mine.store(0);
      if (woken_by_ns != 0) out.add("wake_us", in_us(now_ns() - woken_by_ns));
      // Computes for longer than the other one blocks: it sleeps when it is to be woken, as an idle M does.
      const std::int64_t until = now_ns() + length + 4 * ms;
      while (now_ns() < until) {
      }
      woken_by_ns = now_ns();
      other.store(1);
      futex(other, FUTEX_WAKE, 1);
      block_ns(length);
    }
  };
  turn[0].store(1);
  std::thread second([&] { take_turns(1); });
  take_turns(0);
  second.join();
}

}  // namespace handoff
