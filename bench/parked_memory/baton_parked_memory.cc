// baton_parked_memory parked|spike [key=value ...]: see parked.h. stack=BYTES: of each parked fiber's stack, if not the
// default.
#include "parked.h"

#include <baton/baton.h>

#include <cstddef>
#include <utility>

namespace {

struct baton_runtime {
  static inline baton::attributes with;

  template <class F>
  static void run(int procs, F f) {
    baton::run(f, {.procs = procs});
  }
  template <class F>
  static void go(F f) {
    baton::go(with, std::move(f));
  }
  static void yield() { baton::this_fiber::yield(); }
  // Left is the one that waits.
  static void settle() {
    while (baton::stats().fibers > 1) yield();
  }

  class gate {
   public:
    void wait() { event_.wait(); }
    void open() { event_.set(); }

   private:
    baton::event event_;
  };

  class all_done {
   public:
    explicit all_done(std::int64_t count) { group_.add(static_cast<int>(count)); }
    void done() { group_.done(); }
    void wait() { group_.wait(); }

   private:
    baton::wait_group group_;
  };
};

void parked(const bench::arguments& a, bench::report& out) {
  baton_runtime::with.stack_size = static_cast<std::size_t>(a.number("stack", 0));
  parked_memory::parked<baton_runtime>(a, out);
}

void spike(const bench::arguments& a, bench::report& out) {
  baton_runtime::with.stack_size = std::size_t{8} << 20;
  parked_memory::spike<baton_runtime>(a, out);
}

}  // namespace

int main(int argc, char** argv) {
  constexpr bench::scenario scenarios[] = {{"parked", parked}, {"spike", spike}};
  return bench::run_scenario(scenarios, argc, argv);
}
