// Without rescues a call that is not declared keeps its P to its end. So where the test has one P, a call that is not
// wrapped stops the test for good.
#include <baton/baton.h>

#include <gtest/gtest.h>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  baton::options options;
  options.rescue = false;
  baton::run([] {}, options);
  return RUN_ALL_TESTS();
}
