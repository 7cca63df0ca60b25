// Copies, lines and buffers over files, pipes and readers of the test's own.
#include "parked.h"

#include <baton/netpoll/dial.h>
#include <baton/netpoll/tcp_listener.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/io.h>
#include <baton/runtime/run.h>
#include <syscall/temporary_directory.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

using baton::file;

// Gives its text in pieces, and then an error or the end.
struct pieces {
  std::vector<std::string> left;
  absl::Status at_end;
  absl::StatusOr<std::size_t> read(baton::bytes into) {
    if (left.empty()) {
      if (at_end.ok()) return std::size_t{0};
      return at_end;
    }
    std::string& first = left.front();
    const std::size_t n = std::min(into.size(), first.size());
    std::memcpy(into.data(), first.data(), n);
    first.erase(0, n);
    if (first.empty()) left.erase(left.begin());
    return n;
  }
};

struct sink {
  std::string text;
  std::size_t room = baton::unlimited;
  int writes = 0;
  absl::StatusOr<std::size_t> write(baton::const_bytes from) {
    ++writes;
    const std::size_t n = std::min(from.size(), room - text.size());
    text.append(from.first(n).as_string_view());
    if (n < from.size()) return baton::with_written(baton::status_from_errno(ENOSPC, "write sink"), n);
    return n;
  }
};

std::vector<std::string> lines_of(pieces from, std::size_t max, std::size_t buffer) {
  baton::buffered_reader in(from, buffer);
  std::vector<std::string> lines;
  for (;;) {
    const auto line = in.read_line(max);
    if (!line.ok()) return lines.push_back(std::string(line.status().message())), lines;
    if (!line->has_value()) return lines;
    lines.emplace_back(**line);
  }
}

TEST(Io, LinesHoweverTheyCome) {
  using strings = std::vector<std::string>;
  const strings expected{"one", "", "three\r", "four"};
  for (const std::size_t buffer : {1u, 2u, 5u, 64u}) {
    EXPECT_EQ(expected, lines_of({{"one\n\nthree\r\nfour"}, {}}, 100, buffer));
    EXPECT_EQ(expected, lines_of({{"o", "ne", "\n", "\nth", "ree\r\n", "four"}, {}}, 100, buffer));
    EXPECT_EQ(strings(), lines_of({{}, {}}, 100, buffer));
    EXPECT_EQ(strings{""}, lines_of({{"\n"}, {}}, 0, buffer));
    EXPECT_EQ((strings{"a", "gone"}), lines_of({{"a\nb"}, absl::UnavailableError("gone")}, 100, buffer));
    EXPECT_EQ((strings{"abc", "read line: more than 3 bytes"}), lines_of({{"abc\nabcd\n"}, {}}, 3, buffer));
    EXPECT_EQ((strings{"abc", "read line: more than 3 bytes"}), lines_of({{"abc\nabcd"}, {}}, 3, buffer));
  }
}

TEST(Io, ALineThatWasTooLongIsStillThere) {
  pieces from{{"abcdef\nrest"}, {}};
  baton::buffered_reader in(from, 4);
  EXPECT_TRUE(absl::IsResourceExhausted(in.read_line(3).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(in.read_line(5).status()));
  EXPECT_EQ("abcdef", in.read_line(6).value().value());
}

TEST(Io, ReadsThroughABuffer) {
  pieces from{{"head;", "body", "tail"}, {}};
  baton::buffered_reader in(from, 4);
  EXPECT_EQ("hea", in.peek(3).value());
  EXPECT_EQ("head;", in.read_until(';', 10).value().value());
  char c[6];
  EXPECT_EQ(absl::OkStatus(), in.read_exact(c));
  EXPECT_EQ("bodyta", std::string(c, 6));
  EXPECT_EQ("il", in.peek(10).value());
  EXPECT_EQ(2u, in.buffered());
  const absl::Status early = in.read_exact(c);
  EXPECT_TRUE(absl::IsOutOfRange(early));
  EXPECT_EQ("read exact: the end after 2 of 6 bytes", std::string(early.message()));
  EXPECT_EQ(0u, in.read(c).value());
  EXPECT_FALSE(in.read_until(';', 10).value().has_value());
  EXPECT_EQ("", in.peek(1).value());
}

TEST(Io, AllOfAReaderButNoMoreThanTheLimit) {
  for (const std::size_t limit : {std::size_t{6}, std::size_t{7}, baton::unlimited}) {
    pieces from{{"abc", "def"}, {}};
    EXPECT_EQ("abcdef", baton::read_all(from, limit).value());
  }
  pieces longer{{"abc", "defg"}, {}};
  const absl::Status s = baton::read_all(longer, 6).status();
  EXPECT_EQ(EFBIG, baton::errno_of(s)) << s;
  pieces failing{{"abc"}, absl::UnavailableError("gone")};
  EXPECT_EQ(absl::UnavailableError("gone"), baton::read_all(failing, 6).status());
  pieces big{std::vector<std::string>(100, std::string(1000, 'x')), {}};
  EXPECT_EQ(100'000u, baton::read_all(big, 100'000).value().size());
  pieces dropped{{"abc", "def"}, {}};
  EXPECT_EQ(6u, baton::discard(dropped).value());
}

TEST(Io, CopiesThroughABuffer) {
  pieces from{{"abc", "def"}, {}};
  sink to;
  EXPECT_EQ(6u, baton::copy(to, from).value());
  EXPECT_EQ("abcdef", to.text);
  pieces limited{{"abc", "def"}, {}};
  EXPECT_EQ(4u, baton::copy(to, limited, 4).value());
  EXPECT_EQ("abcdefabcd", to.text);
  pieces failing{{"abc"}, absl::UnavailableError("gone")};
  const absl::Status read_error = baton::copy(to, failing).status();
  EXPECT_TRUE(absl::IsUnavailable(read_error));
  EXPECT_EQ(3u, baton::written_of(read_error));
  pieces more{{"abc", "def"}, {}};
  sink full{.text = "", .room = 4};
  const absl::Status write_error = baton::copy(full, more).status();
  EXPECT_EQ(ENOSPC, baton::errno_of(write_error));
  EXPECT_EQ(4u, baton::written_of(write_error));
}

TEST(Io, WritesAreCollected) {
  sink to;
  {
    baton::buffered_writer out(to, 8);
    EXPECT_EQ(3u, out.write("abc").value());
    EXPECT_EQ(5u, out.write("defgh").value());
    EXPECT_EQ(8u, out.buffered());
    EXPECT_EQ(0, to.writes);
    EXPECT_EQ(1u, out.write("i").value());
    EXPECT_EQ("abcdefgh", to.text);
    EXPECT_EQ(absl::OkStatus(), out.flush());
    EXPECT_EQ(absl::OkStatus(), out.flush());
    EXPECT_EQ(2, to.writes);
    EXPECT_EQ(20u, out.write(std::string(20, 'x')).value());
    EXPECT_EQ(3, to.writes) << "without a copy";
    EXPECT_EQ(1u, out.write("z").value());
  }
  EXPECT_EQ("abcdefghi" + std::string(20, 'x') + "z", to.text);
}

TEST(Io, AWriterThatFailedStaysFailed) {
  sink to{.text = "", .room = 4};
  baton::buffered_writer out(to, 8);
  EXPECT_EQ(6u, out.write("abcdef").value());
  EXPECT_EQ(ENOSPC, baton::errno_of(out.flush()));
  EXPECT_EQ(ENOSPC, baton::errno_of(out.write("x").status()));
  EXPECT_EQ(ENOSPC, baton::errno_of(out.flush()));
  EXPECT_EQ(1, to.writes);
}

struct ends {
  ends() {
    int fds[2];
    EXPECT_EQ(0, ::pipe2(fds, O_CLOEXEC));
    in = file::adopt(fds[0], "in").value();
    out = file::adopt(fds[1], "out").value();
  }
  file in, out;
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * i % 23);
  return text;
}

class CopyInTheKernel : public testing::Test {
 protected:
  CopyInTheKernel() { EXPECT_EQ(absl::OkStatus(), baton::write_file(dir_ / "from", text_)); }
  temporary_directory dir_;
  const std::string text_ = pattern(3'000'000);
};

TEST_F(CopyInTheKernel, BetweenFiles) {
  baton::run([this] {
    file from = file::open(dir_ / "from").value();
    file to = file::open(dir_ / "to", O_RDWR | O_CREAT).value();
    EXPECT_EQ(1000u, baton::copy(to, from, 1000).value());
    EXPECT_EQ(text_.size() - 1000, baton::copy(to, from).value());
    EXPECT_EQ(0u, baton::copy(to, from).value());
    EXPECT_EQ(text_, baton::read_file(dir_ / "to").value());

    // copy_file_range refuses this one.
    file again = file::open(dir_ / "from").value();
    file append = file::open(dir_ / "to", O_WRONLY | O_APPEND).value();
    EXPECT_EQ(text_.size(), baton::copy(append, again).value());
    EXPECT_EQ(text_ + text_, baton::read_file(dir_ / "to").value());
  });
}

// The kernel says that these are empty.
TEST_F(CopyInTheKernel, FilesOfUnknownSize) {
  baton::run([this] {
    file from = file::open("/proc/self/status").value();
    file to = file::open(dir_ / "to", O_RDWR | O_CREAT).value();
    EXPECT_LT(100u, baton::copy(to, from).value());
    EXPECT_EQ(0u, baton::read_file(dir_ / "to").value().find("Name:"));
  });
}

TEST_F(CopyInTheKernel, ThroughPipes) {
  baton::run([this] {
    ends first;
    ends second;
    auto fill = baton::spawn([&] {
      file from = file::open(dir_ / "from").value();
      const auto n = baton::copy(first.out, from);
      (void)first.out.close();
      return n.value();
    });
    auto pass_on = baton::spawn([&] {
      const auto n = baton::copy(second.out, first.in);
      (void)second.out.close();
      return n.value();
    });
    file to = file::open(dir_ / "to", O_RDWR | O_CREAT).value();
    EXPECT_EQ(text_.size(), baton::copy(to, second.in).value());
    EXPECT_EQ(text_.size(), fill.join());
    EXPECT_EQ(text_.size(), pass_on.join());
    EXPECT_EQ(text_, baton::read_file(dir_ / "to").value());
  });
}

TEST_F(CopyInTheKernel, ToAStream) {
  baton::run([this] {
    auto listener = baton::net::tcp_listener::bind("127.0.0.1:0").value();
    auto sender = baton::spawn([&] {
      auto stream = listener.accept().value();
      file from = file::open(dir_ / "from").value();
      const auto some = baton::copy(stream, from, 1000);
      const auto rest = baton::copy(stream, from);
      return some.value() + rest.value();
    });
    auto stream = baton::net::dial(listener.local_address().to_string()).value();
    file to = file::open(dir_ / "to", O_RDWR | O_CREAT).value();
    EXPECT_EQ(text_.size(), baton::copy(to, stream).value());
    EXPECT_EQ(text_.size(), sender.join());
    EXPECT_EQ(text_, baton::read_file(dir_ / "to").value());
  });
}

TEST_F(CopyInTheKernel, Errors) {
  baton::run([this] {
    file from = file::open(dir_ / "from").value();
    file read_only = file::open(dir_ / "from").value();
    EXPECT_EQ(EBADF, baton::errno_of(baton::copy(read_only, from).status()));
    file full = file::open("/dev/full", O_WRONLY).value();
    EXPECT_EQ(ENOSPC, baton::errno_of(baton::copy(full, from).status()));
    file none;
    EXPECT_EQ(EBADF, baton::errno_of(baton::copy(none, from).status()));
    EXPECT_EQ(EBADF, baton::errno_of(baton::copy(from, none).status()));
    ends p;
    EXPECT_EQ(absl::OkStatus(), p.in.close());
    file again = file::open(dir_ / "from").value();
    const absl::Status s = baton::copy(p.out, again).status();
    EXPECT_EQ(EPIPE, baton::errno_of(s)) << s;
  });
}

}  // namespace
