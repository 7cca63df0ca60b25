// dlclose() of a shared object that holds baton, while its threads run.
#include <gtest/gtest.h>

#include <dlfcn.h>
#include <unistd.h>
#include <cerrno>

namespace {

using run_function = int (*)();

TEST(Plugin, MayBeClosedWhileItsRuntimeRuns) {
  for (int i = 0; i < 3; ++i) {
    void* const plugin = ::dlopen(BATON_TEST_MODULE, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(nullptr, plugin) << ::dlerror();
    const auto run = reinterpret_cast<run_function>(::dlsym(plugin, "baton_test_plugin_run"));
    ASSERT_NE(nullptr, run);
    EXPECT_EQ(45, run());
    EXPECT_EQ(0, ::dlclose(plugin));
    // Its handler of SIGPIPE is still there, and so are its threads.
    int ends[2];
    ASSERT_EQ(0, ::pipe(ends));
    ::close(ends[0]);
    EXPECT_EQ(-1, ::write(ends[1], "x", 1));
    EXPECT_EQ(EPIPE, errno);
    ::close(ends[1]);
    EXPECT_EQ(45, run());
  }
}

}  // namespace
