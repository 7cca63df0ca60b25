// Skips the tests that cannot run under qemu-user: tests/emulated/skipped has their names and reasons.
// BATON_SKIPPED_TESTS is that file, where an emulator runs the tests.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

namespace {

// A line: Suite.Name, blanks, the reason.
std::map<std::string, std::string> skipped_tests() {
  std::map<std::string, std::string> reasons;
  const char* const path = std::getenv("BATON_SKIPPED_TESTS");
  if (path == nullptr) return reasons;
  std::ifstream file(path);
  if (!file) {
    ADD_FAILURE() << "BATON_SKIPPED_TESTS: cannot read " << path;
    return reasons;
  }
  for (std::string line; std::getline(file, line);) {
    const auto end = line.find(' ');
    const auto reason = line.find_first_not_of(' ', end);
    if (line[0] != '#' && reason != std::string::npos) reasons[line.substr(0, end)] = line.substr(reason);
  }
  return reasons;
}

class skipper : public testing::EmptyTestEventListener {
  void OnTestProgramStart(const testing::UnitTest&) override { reasons_ = skipped_tests(); }
  // gtest does not run a test that is skipped here.
  void OnTestStart(const testing::TestInfo& test) override {
    const auto found = reasons_.find(std::string(test.test_suite_name()) + "." + test.name());
    if (found != reasons_.end()) GTEST_SKIP() << found->second;
  }
  std::map<std::string, std::string> reasons_;
};

[[maybe_unused]] const bool installed = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new skipper);  // gtest deletes it
  return true;
}();

}  // namespace
