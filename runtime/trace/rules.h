// Replays a recording, and checks that what it shows could have happened. Internal to the tools and the tests.
#pragma once

#include <baton/runtime/trace/recording.h>

#include <cstddef>
#include <string>
#include <vector>

namespace baton::trace {

struct verdict {
  std::vector<std::string> violations;  // at most 100
  std::size_t checked = 0;              // events
  bool begun = false;                   // the recording has its `begun`: only what follows is checked
};

// The rules:
//   one owner      a P that an M takes belongs to no other M; the M that gives a P up has it; a P is revoked from the M
//                  that has it
//   one place      a fiber runs on one M, on an M that has a P and runs no other fiber
//   one ready      a fiber goes on only after it was readied (or spawned, or had queued itself), and is readied once
//   for
//                  each wait
//   calls return   a declared call ends before its fiber waits, ends, or begins another one
// A fiber, a P or an M counts from its first event on; what was before is not known. A recording that has lost events
// cannot be checked: its violations say nothing.
[[nodiscard]] verdict check(const recording& r);

}  // namespace baton::trace
