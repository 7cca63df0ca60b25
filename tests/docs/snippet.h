// What the snippets of a documentation page are compiled with: see snippets.py.
#pragma once

#include <baton/baton.h>
#include <baton/sched/platform/atomic.h>  // BATON_TSAN

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;  // as the page says

// A reader sees a plain assert; here one that fails is a failure of the test, also in a fiber.
#undef assert
#define assert(...) EXPECT_TRUE((__VA_ARGS__))

namespace baton_test {

// ThreadSanitizer holds signals back while the thread sleeps on a futex.
inline bool can_run(std::string_view snippet) { return BATON_TSAN == 0 || !snippet.starts_with("os_signals"); }

}  // namespace baton_test

// Defines the function, and a test that runs it in a fiber and one that runs it on a plain thread.
#define BATON_SNIPPET(name)                        \
  void snippet_##name();                           \
  TEST(SnippetInAFiber, name) {                    \
    if (!baton_test::can_run(#name)) GTEST_SKIP(); \
    baton::run(&snippet_##name);                   \
  }                                                \
  TEST(SnippetOnAThread, name) {                   \
    if (!baton_test::can_run(#name)) GTEST_SKIP(); \
    snippet_##name();                              \
  }                                                \
  void snippet_##name()
