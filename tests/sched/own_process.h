// Death tests that run in a process of their own. The process has nothing left from earlier tests and starts the
// runtime as it likes.
#pragma once

#include <baton/sched/lifecycle.h>

#include <gtest/gtest.h>

namespace baton_test {

class own_process_test : public testing::Test {
 protected:
  own_process_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// Ps move only where a test says so: a fiber keeps its P until it gives the P up or the P must retire.
inline void start_without_rescue(int procs) {
  baton::sched::settings s;
  s.procs = procs;
  s.rescue = false;
  baton::sched::start(s);
}

}  // namespace baton_test
