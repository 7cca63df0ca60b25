// baton_handoff SCENARIO [key=value ...]: runs one scenario once and prints its raw values as a JSON
// object of lists. bench/handoff/run calls it, and the program of the same shape in bench/peers/go,
// in turns.
#include "scenarios.h"

#include <cstring>

int main(int argc, char** argv) {
  struct entry {
    const char* name;
    void (*run)(const handoff::arguments&, handoff::report&);
  };
  constexpr entry scenarios[] = {
      {"floor", handoff::floor}, {"declared", handoff::declared},   {"undeclared", handoff::undeclared},
      {"crowd", handoff::crowd}, {"blockers", handoff::blockers},   {"short_calls", handoff::short_calls},
      {"idle", handoff::idle},   {"hold_lock", handoff::hold_lock},
  };
  for (const entry& e : scenarios) {
    if (argc < 2 || std::strcmp(argv[1], e.name) != 0) continue;
    handoff::report out;
    e.run(handoff::arguments(argc - 2, argv + 2), out);
    out.print();
    return 0;
  }
  std::fprintf(stderr, "usage: baton_handoff SCENARIO [key=value ...]; scenarios:");
  for (const entry& e : scenarios) std::fprintf(stderr, " %s", e.name);
  std::fprintf(stderr, "\n");
  return 2;
}
