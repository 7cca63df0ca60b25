// The typed calls that allocate: a copy of a path that is a view, and the working directory. Without memory they say
// ENOMEM, and make no call.
#include "failing_allocations.h"

#include <baton/syscall/names.h>

#include <cerrno>
#include <string>
#include <string_view>

namespace baton::test {
namespace {

TEST(NoMemory, TypedCalls) {
  const std::string path = "/proc/self/" + std::string(64, '.') + "/no-such-file";  // too long to need no memory
  fail_each_allocation([&](failing_allocation& fails) {
    int error = 0;
    const bool threw = fails.during([&] { error = sys::stat(std::string_view(path)).error(); });
    EXPECT_FALSE(threw);
    EXPECT_EQ(error, fails.happened() ? ENOMEM : ENOENT);
  });
  const std::string here = sys::getcwd().value();
  fail_each_allocation([&](failing_allocation& fails) {
    sys::result<std::string> where = sys::failure(EIO);
    const bool threw = fails.during([&] { where = sys::getcwd(); });
    EXPECT_FALSE(threw);
    if (fails.happened()) {
      EXPECT_EQ(where.error(), ENOMEM);
    } else {
      EXPECT_EQ(where, here);
    }
  });
}

}  // namespace
}  // namespace baton::test
