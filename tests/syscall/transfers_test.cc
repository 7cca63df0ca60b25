// copy_file_range, splice, tee and vmsplice.
//
// Not provoked: EIO, ENOMEM, EFBIG beyond RLIMIT_FSIZE (which comes with a signal), ETXTBSY (an active swap file).
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/transfers.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "syscall/provoked.h"
#include "syscall/temporary_directory.h"

namespace {

namespace sys = baton::sys;
using baton_test::expect_errors;
using baton_test::nowhere;
using sys::owned_fd;

class Transfers : public testing::Test {
 protected:
  Transfers() {
    const auto a = sys::pipe2(O_CLOEXEC).value();
    const auto b = sys::pipe2(O_CLOEXEC).value();
    in = owned_fd(a[0]), out = owned_fd(a[1]), other_in = owned_fd(b[0]), other_out = owned_fd(b[1]);
    from = owned_fd(sys::open(dir / "from", O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
    to = owned_fd(sys::open(dir / "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600).value());
    EXPECT_EQ(*sys::pwrite(from.get(), "0123456789", 0), 10U);
  }
  static std::string content(int fd) {
    std::string text(64, '\0');
    text.resize(sys::pread(fd, text, 0).value());
    return text;
  }
  static std::string taken(int fd, std::size_t most = 64) {
    std::string text(most, '\0');
    text.resize(sys::read(fd, text).value());
    return text;
  }

  temporary_directory dir;
  owned_fd in, out, other_in, other_out, from, to;
};

TEST_F(Transfers, CopyFileRange) {
  ::off_t at = 2, where = 1;
  EXPECT_EQ(*sys::copy_file_range(from.get(), &at, to.get(), &where, 3), 3U);
  EXPECT_EQ(at, 5);
  EXPECT_EQ(where, 4);
  EXPECT_EQ(content(to.get()), std::string("\0", 1) + "234");
  EXPECT_EQ(*sys::copy_file_range(from.get(), nullptr, to.get(), nullptr, 100), 10U);
  EXPECT_EQ(content(to.get()), "0123456789");
  EXPECT_EQ(*sys::copy_file_range(from.get(), nullptr, to.get(), nullptr, 100), 0U) << "the end";
  const owned_fd read_only(sys::open(dir / "to", O_RDONLY | O_CLOEXEC).value());
  const owned_fd appends(sys::open(dir / "to", O_WRONLY | O_APPEND | O_CLOEXEC).value());
  const owned_fd directory(sys::open(dir.path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC).value());
  ::off_t zero = 0, one = 1;
  expect_errors({{"no input", sys::copy_file_range(-1, nullptr, to.get(), nullptr, 1).error(), EBADF},
                 {"no output", sys::copy_file_range(from.get(), nullptr, -1, nullptr, 1).error(), EBADF},
                 {"not for writing", sys::copy_file_range(from.get(), &zero, read_only.get(), &one, 1).error(), EBADF},
                 {"appends", sys::copy_file_range(from.get(), &zero, appends.get(), &one, 1).error(), EBADF},
                 {"a directory", sys::copy_file_range(directory.get(), &zero, to.get(), &one, 1).error(), EISDIR},
                 {"a pipe", sys::copy_file_range(from.get(), &zero, out.get(), nullptr, 1).error(), EINVAL},
                 {"flags", sys::copy_file_range(from.get(), &zero, to.get(), &one, 1, 2).error(), EINVAL},
                 {"overlap", sys::copy_file_range(from.get(), &zero, from.get(), &one, 5).error(), EINVAL},
                 {"bad", sys::copy_file_range(from.get(), nowhere<::off_t>(), to.get(), &one, 1).error(), EFAULT}});
}

TEST_F(Transfers, SpliceAndTee) {
  ::off_t at = 4;
  EXPECT_EQ(*sys::splice(from.get(), &at, out.get(), nullptr, 3, 0), 3U);
  EXPECT_EQ(at, 7);
  EXPECT_EQ(*sys::tee(in.get(), other_out.get(), 100, 0), 3U);
  EXPECT_EQ(taken(other_in.get()), "456");
  EXPECT_EQ(*sys::splice(in.get(), nullptr, to.get(), nullptr, 100, SPLICE_F_MOVE), 3U);
  EXPECT_EQ(content(to.get()), "456");
  ::off_t zero = 0;
  expect_errors({{"empty", sys::splice(in.get(), nullptr, to.get(), nullptr, 1, SPLICE_F_NONBLOCK).error(), EAGAIN},
                 {"empty tee", sys::tee(in.get(), other_out.get(), 1, SPLICE_F_NONBLOCK).error(), EAGAIN},
                 {"no input", sys::splice(-1, nullptr, out.get(), nullptr, 1, 0).error(), EBADF},
                 {"no output", sys::splice(from.get(), nullptr, -1, nullptr, 1, 0).error(), EBADF},
                 {"wrong end", sys::splice(from.get(), &zero, in.get(), nullptr, 1, 0).error(), EBADF},
                 {"no pipe", sys::splice(from.get(), nullptr, to.get(), nullptr, 1, 0).error(), EINVAL},
                 {"offset of a pipe", sys::splice(in.get(), &zero, to.get(), nullptr, 1, 0).error(), ESPIPE},
                 {"bad", sys::splice(from.get(), nowhere<::off_t>(), out.get(), nullptr, 1, 0).error(), EFAULT},
                 {"flags", sys::splice(from.get(), &zero, out.get(), nullptr, 1, 0x1000).error(), EINVAL},
                 {"to itself", sys::splice(in.get(), nullptr, out.get(), nullptr, 1, 0).error(), EINVAL},
                 {"tee to itself", sys::tee(in.get(), out.get(), 1, 0).error(), EINVAL},
                 {"tee of a file", sys::tee(from.get(), out.get(), 1, 0).error(), EINVAL},
                 {"tee no input", sys::tee(-1, out.get(), 1, 0).error(), EBADF}});
  EXPECT_EQ(zero, 0);
  const owned_fd appends(sys::open(dir / "to", O_WRONLY | O_APPEND | O_CLOEXEC).value());
  ASSERT_TRUE(sys::write(out.get(), "x"));
  EXPECT_EQ(sys::splice(in.get(), nullptr, appends.get(), nullptr, 1, 0).error(), EINVAL);
  in.reset();
  auto* const former = std::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(sys::splice(from.get(), &zero, out.get(), nullptr, 1, 0).error(), EPIPE);
  std::signal(SIGPIPE, former);
}

TEST_F(Transfers, Vmsplice) {
  std::string a = "ab", b = "cde";
  const std::array<::iovec, 2> both = {baton::as_iovec(baton::bytes(a)), baton::as_iovec(baton::bytes(b))};
  EXPECT_EQ(*sys::vmsplice(out.get(), both, 0), 5U);
  EXPECT_EQ(taken(in.get()), "abcde");
  ASSERT_TRUE(sys::write(out.get(), "12345"));
  EXPECT_EQ(*sys::vmsplice(in.get(), both, 0), 5U);
  EXPECT_EQ(a + b, "12345");
  const std::array<::iovec, 1> bad = {::iovec{nowhere<char>(), 8}};
  const std::vector<::iovec> many(1025, both[0]);
  expect_errors({{"no descriptor", sys::vmsplice(-1, both, 0).error(), EBADF},
                 {"a file", sys::vmsplice(from.get(), both, 0).error(), EBADF},
                 {"flags", sys::vmsplice(out.get(), both, 0x1000).error(), EINVAL},
                 {"bad", sys::vmsplice(out.get(), bad, 0).error(), EFAULT},
                 {"bad row", sys::vmsplice(out.get(), {nowhere<::iovec>(), 1}, 0).error(), EFAULT},
                 {"too many", sys::vmsplice(out.get(), many, 0).error(), EINVAL}});
  ASSERT_TRUE(sys::fcntl(out.get(), F_SETPIPE_SZ, 4096));
  ASSERT_TRUE(sys::write(out.get(), std::string(4096, 'x')));
  EXPECT_EQ(sys::vmsplice(out.get(), both, SPLICE_F_NONBLOCK).error(), EAGAIN);
}

}  // namespace
