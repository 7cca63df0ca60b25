// baton_handoff SCENARIO [key=value ...]: see ../scenario.h. bench/handoff/suite.py calls it, and the program of the
// same shape in bench/peers/go, in turns.
#include "scenarios.h"

int main(int argc, char** argv) {
  using namespace handoff;
  constexpr bench::scenario scenarios[] = {
      {"floor", floor},
      {"declared", declared},
      {"undeclared", undeclared},
      {"hog", hog},
      {"late", late},
      {"runnable", runnable},
      {"crowd", crowd},
      {"crowd_of_threads", crowd_of_threads},
      {"cached_reads", cached_reads},
      {"blockers", blockers},
      {"short_calls", short_calls},
      {"idle", idle},
      {"hold_lock", hold_lock},
      {"watch_threads", watch_threads},
  };
  return bench::run_scenario(scenarios, argc, argv);
}
