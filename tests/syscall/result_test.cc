// result<T>, and errno values into and out of absl::Status.
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/result.h>
#include <baton/syscall/status.h>

#include <cerrno>
#include <memory>
#include <string>
#include <type_traits>

#include <absl/status/status.h>
#include <gtest/gtest.h>

namespace {

namespace sys = baton::sys;
using baton::errno_of;

static_assert(std::is_trivially_copyable_v<sys::result<int>> && sizeof(sys::result<int>) == 8);
static_assert(std::is_trivially_copyable_v<sys::result<long>> && sizeof(sys::result<long>) == 16);
static_assert(std::is_trivially_copyable_v<sys::result<std::size_t>>);
static_assert(std::is_trivially_copyable_v<sys::result<void>> && sizeof(sys::result<void>) == 4);
static_assert(!std::is_convertible_v<sys::result<int>, bool> && !std::is_convertible_v<sys::result<int>, int>);

TEST(Result, HoldsAValue) {
  const sys::result<int> r = 7;
  EXPECT_TRUE(r.has_value());
  EXPECT_TRUE(static_cast<bool>(r));
  EXPECT_EQ(r.value(), 7);
  EXPECT_EQ(*r, 7);
  EXPECT_EQ(r.error(), 0);
  EXPECT_EQ(r.value_or(1), 7);
  EXPECT_TRUE(r == 7);
  EXPECT_FALSE(r == 8);
  EXPECT_TRUE(r.status("open").ok());
}

TEST(Result, HoldsAnError) {
  const sys::result<int> r = sys::failure(ENOENT);
  EXPECT_FALSE(r.has_value());
  EXPECT_FALSE(static_cast<bool>(r));
  EXPECT_EQ(r.error(), ENOENT);
  EXPECT_EQ(r.value_or(-1), -1);
  EXPECT_FALSE(r == 0);
}

TEST(Result, ArrowReachesMembers) {
  sys::result<std::string> r = std::string("abc");
  EXPECT_EQ(r->size(), 3U);
  r->push_back('d');
  EXPECT_EQ(*r, "abcd");
}

TEST(Result, TakesMoveOnlyValues) {
  sys::result<std::unique_ptr<int>> r = std::make_unique<int>(3);
  const std::unique_ptr<int> p = std::move(r).value();
  EXPECT_EQ(*p, 3);
  const sys::result<sys::owned_fd> none = sys::failure(EMFILE);
  EXPECT_EQ(none.error(), EMFILE);
}

TEST(Result, OfNothing) {
  const sys::result<void> fine;
  EXPECT_TRUE(fine.has_value());
  EXPECT_TRUE(fine.status("close").ok());
  fine.value();
  const sys::result<void> bad = sys::failure(EIO);
  EXPECT_FALSE(static_cast<bool>(bad));
  EXPECT_EQ(bad.error(), EIO);
}

TEST(Result, StatusNamesOperationTextAndErrno) {
  const sys::result<int> r = sys::failure(EACCES);
  const absl::Status s = r.status("open /etc/shadow");
  EXPECT_EQ(s.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(std::string(s.message()), "open /etc/shadow: Permission denied (EACCES)");
  EXPECT_EQ(errno_of(s), EACCES);
}

TEST(Status, CarriesEveryErrno) {
  for (int err = 1; err < 4096; ++err) {
    const absl::Status s = baton::status_from_errno(err, "call");
    ASSERT_FALSE(s.ok()) << err;
    ASSERT_EQ(errno_of(s), err);
    if (err == EADDRNOTAVAIL || err == EALREADY || err == ENXIO || err == ELOOP || err == ENODATA || err == EMSGSIZE)
      continue;
    ASSERT_EQ(s.code(), absl::ErrnoToStatusCode(err));
  }
}

// None of these errors means that something exists already, and NOT_FOUND means that something does not exist.
TEST(Status, CodesThatAbslGivesOtherwise) {
  const auto code = [](int err) { return baton::status_from_errno(err, "call").code(); };
  EXPECT_EQ(code(EADDRNOTAVAIL), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(EALREADY), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(ENXIO), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(ELOOP), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(ENODATA), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(EMSGSIZE), absl::StatusCode::kInvalidArgument);
}

TEST(Status, WrittenOfIsWhatWasSaid) {
  const absl::Status s = baton::status_from_errno(ENOSPC, "write f");
  EXPECT_EQ(baton::written_of(s), 0u);
  EXPECT_EQ(baton::written_of(baton::with_written(s, 4711)), 4711u);
  EXPECT_EQ(errno_of(baton::with_written(s, 4711)), ENOSPC);
  EXPECT_EQ(baton::written_of(baton::with_written(baton::with_written(s, 1), 0)), 0u);
  EXPECT_EQ(baton::written_of(absl::OkStatus()), 0u);
  EXPECT_EQ(baton::written_of(baton::with_written(s, SIZE_MAX)), SIZE_MAX);
}

TEST(Status, ForAReason) {
  const absl::Status cause = baton::status_from_errno(EIO, "the disk");
  const absl::Status s = baton::status_for_reason(cause, "read x");
  EXPECT_EQ(s.code(), cause.code());
  EXPECT_EQ(errno_of(s), EIO);
  EXPECT_EQ(std::string(s.message()), "read x: " + std::string(cause.message()));
  EXPECT_EQ(std::string(baton::status_for_reason(absl::CancelledError(), "read x").message()), "read x: cancelled");
  EXPECT_TRUE(baton::status_for_reason(absl::OkStatus(), "read x").ok());
}

TEST(Status, AnUnknownErrnoIsNamedByItsNumber) {
  const absl::Status s = baton::status_from_errno(4000, "call");
  EXPECT_EQ(std::string(s.message()), "call: unknown error (errno 4000)");
}

TEST(Status, ErrnoOfIs0WhenThereIsNone) {
  EXPECT_EQ(errno_of(absl::OkStatus()), 0);
  EXPECT_EQ(errno_of(absl::CancelledError("stop")), 0);
  EXPECT_TRUE(baton::status_from_errno(0, "call").ok());
}

TEST(Status, TheErrnoSurvivesACopy) {
  const absl::Status first = baton::status_from_errno(ECONNRESET, "read");
  absl::Status second = first;
  second.SetPayload("other", absl::Cord("x"));
  EXPECT_EQ(errno_of(second), ECONNRESET);
}

TEST(Status, MakingOneLeavesErrnoAlone) {
  errno = 77;
  const absl::Status s = baton::status_from_errno(ENOENT, "open");
  const int kept = errno;
  EXPECT_EQ(kept, 77);
  EXPECT_EQ(errno_of(s), ENOENT);
}

using result_death_test = testing::Test;
TEST(ResultDeathTest, ValueOfAnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const sys::result<int> r = sys::failure(ENOENT);
  const sys::result<void> v = sys::failure(EBADF);
  const sys::result<std::string> s = sys::failure(EFAULT);
  EXPECT_DEATH((void)r.value(),
               "value\\(\\) of a sys::result that holds error 2, No such file or directory \\(ENOENT\\)");
  EXPECT_DEATH((void)*r, "ENOENT");
  EXPECT_DEATH(v.value(), "EBADF");
  EXPECT_DEATH((void)s->size(), "EFAULT");
  EXPECT_DEATH((void)sys::failure(0), "a sys::failure made of 0");
}

}  // namespace
