// baton_files SCENARIO [key=value ...]: see ../scenario.h. bench/files/suite.py calls it, and the program of the same
// shape in bench/peers/go, in turns.
#include "scenarios.h"

int main(int argc, char** argv) {
  constexpr bench::scenario scenarios[] = {
      {"direct_read", files::direct_read},
      {"cached_read", files::cached_read},
      {"copy", files::copy},
      {"read_line", files::read_line},
      {"pipe", files::pipe},
      {"pipe_child", files::pipe_child},
      {"echo", files::echo},
  };
  return bench::run_scenario(scenarios, argc, argv);
}
