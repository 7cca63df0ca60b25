// What the tests of futures share: the code of a future_error, and runs on a fiber and on a plain thread.
#pragma once

#include <baton/runtime/run.h>

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <optional>
#include <system_error>

namespace baton::test {

// Returns the code of the future_error that f() throws.
template <class F>
std::optional<std::error_code> code_of(F f) {
  try {
    f();
  } catch (const std::future_error& e) {
    return e.code();
  }
  return std::nullopt;
}
#define EXPECT_FUTURE_ERROR(statement, which) \
  EXPECT_EQ(baton::test::code_of([&] { statement; }), make_error_code(std::future_errc::which))

// Runs f() in a fiber, and then on the calling thread.
inline void on_both(const std::function<void()>& f) {
  baton::run(f);
  f();
}

}  // namespace baton::test
