// What a module's call sites have learnt is still reported after the module is gone.
#include <baton/runtime/call_sites.h>
#include <baton/runtime/run.h>
#include <baton/syscall/blocking.h>

#include <gtest/gtest.h>

#include <dlfcn.h>
#include <string>

namespace {

using calls_function = void (*)(int);

std::size_t sites_of_the_module() {
  std::size_t n = 0;
  for (const baton::call_site_history& h : baton::call_sites()) {
    // g++ names a closure by its function, clang by its file.
    const bool here = h.place.find("baton_test_make_calls") != std::string::npos ||
                      h.place.find("site_module.cc") != std::string::npos;
    if (here) ++n;
  }
  return n;
}

TEST(SiteModule, ItsSitesAreListedAfterItHasBeenUnloaded) {
  baton::run([] {
    for (std::size_t i = 0; i < 3; ++i) {
      void* const module = ::dlopen(BATON_TEST_MODULE, RTLD_NOW | RTLD_LOCAL);
      ASSERT_NE(nullptr, module) << ::dlerror();
      const auto calls = reinterpret_cast<calls_function>(::dlsym(module, "baton_test_make_calls"));
      ASSERT_NE(nullptr, calls);
      calls(10);
      EXPECT_EQ(i + 1, sites_of_the_module());
      ASSERT_EQ(0, ::dlclose(module));
      ASSERT_EQ(nullptr, ::dlopen(BATON_TEST_MODULE, RTLD_NOW | RTLD_NOLOAD)) << "it has not been unloaded";
      EXPECT_EQ(i + 1, sites_of_the_module());
      baton::blocking([] {});
    }
  });
}

}  // namespace
