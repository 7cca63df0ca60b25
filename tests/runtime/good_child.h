// A test that runs in a process of its own: EXPECT_GOOD_CHILD(function) in a death test of style "threadsafe".
#pragma once

#include <gtest/gtest.h>

#include <unistd.h>
#include <cstdio>
#include <cstdlib>

// Used in the child: a condition that does not hold ends it with a line.
inline void check(bool so, const char* what) {
  if (so) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::_Exit(1);
}
#define CHECK(condition) check(condition, #condition)

// Runs the test in the child, and ends the child with 0 if the test comes to its end.
template <class F>
[[noreturn]] void in_child(F&& f) {
  ::alarm(60);
  f();
  std::exit(0);
}

#define EXPECT_GOOD_CHILD(...) EXPECT_EXIT(in_child(__VA_ARGS__), testing::ExitedWithCode(0), "^$")
