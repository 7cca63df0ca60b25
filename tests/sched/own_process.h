// Death tests each in a process of its own, which has nothing of the tests before, and starts as it likes.
#pragma once

#include <baton/sched/lifecycle.h>

#include <gtest/gtest.h>

namespace baton_test {

class own_process_test : public testing::Test {
 protected:
  own_process_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// Ps move only where a test says so: a fiber has its P until it gives it up, or the P must go.
inline void start_without_rescue(int procs) {
  baton::sched::settings s;
  s.procs = procs;
  s.rescue = false;
  baton::sched::start(s);
}

}  // namespace baton_test
