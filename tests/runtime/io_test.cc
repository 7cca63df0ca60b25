// Copies, lines and buffers over files, pipes and readers of the test's own.
#include "parked.h"

#include <baton/netpoll/dial.h>
#include <baton/netpoll/pipe.h>
#include <baton/netpoll/tcp_listener.h>
#include <baton/netpoll/tcp_stream.h>
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
#include <chrono>
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

// A reader that fills whatever it is given.
struct endless_line {
  int reads = 0;
  absl::StatusOr<std::size_t> read(baton::bytes into) {
    ++reads;
    std::memset(into.data(), 'x', into.size());
    return into.size();
  }
};

// A line much longer than the buffer is read in few pieces.
TEST(Io, TheBufferGrowsByItsOwnSize) {
  endless_line from;
  baton::buffered_reader in(from, 16);
  EXPECT_TRUE(absl::IsResourceExhausted(in.read_line(1 << 20).status()));
  EXPECT_LE(from.reads, 20);
  EXPECT_EQ(std::size_t{1} << 21, in.peek(1 << 21).value().size());
  EXPECT_LE(from.reads, 22);
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

// A connection within this process: what is written to one end comes out of the other.
struct connection {
  connection() {
    auto listener = baton::net::tcp_listener::bind("127.0.0.1:0").value();
    to = baton::net::dial(listener.local_address().to_string()).value();
    from = listener.accept().value();
  }
  baton::net::tcp_stream to, from;
};

// The text goes through all kinds of ends. The kernel moves it, and the buffered copy has nothing left to do.
template <class W, class R>
bool all_in_kernel(W& to, R& from, std::size_t size) {
  const baton::detail::moved m = baton::detail::move_in_kernel(to, from, baton::unlimited);
  return m.finished && m.error.ok() && m.count == size;
}

TEST_F(CopyInTheKernel, BetweenAllKindsOfEnds) {
  baton::run([this] {
    auto first = baton::make_pipe().value();
    auto second = baton::make_pipe().value();
    auto third = baton::make_pipe().value();
    connection c;
    connection d;
    const std::size_t size = text_.size();
    std::vector<baton::fiber<bool>> steps;
    steps.push_back(baton::spawn([&] {
      file from = file::open(dir_ / "from").value();
      const bool all = all_in_kernel(first.writer, from, size);
      first.writer.close();
      return all;
    }));
    steps.push_back(baton::spawn([&] {
      const bool all = all_in_kernel(second.writer, first.reader, size);
      second.writer.close();
      return all;
    }));
    steps.push_back(baton::spawn([&] {
      const bool all = all_in_kernel(c.to, second.reader, size);
      return c.to.close_write().ok() && all;
    }));
    steps.push_back(baton::spawn([&] {
      const bool all = all_in_kernel(d.to, c.from, size);
      return d.to.close_write().ok() && all;
    }));
    steps.push_back(baton::spawn([&] {
      const bool all = all_in_kernel(third.writer, d.from, size);
      third.writer.close();
      return all;
    }));
    file to = file::open(dir_ / "to", O_RDWR | O_CREAT).value();
    EXPECT_TRUE(all_in_kernel(to, third.reader, size));
    for (auto& step : steps) EXPECT_TRUE(step.join());
    EXPECT_EQ(text_, baton::read_file(dir_ / "to").value());
  });
}

TEST_F(CopyInTheKernel, FromAStreamToAFile) {
  baton::run([this] {
    connection c;
    auto sender = baton::spawn([&] {
      const bool all = c.to.write(text_).ok();
      return c.to.close_write().ok() && all;
    });
    file to = file::open(dir_ / "to", O_RDWR | O_CREAT).value();
    EXPECT_EQ(1000u, baton::copy(to, c.from, 1000).value());
    EXPECT_TRUE(all_in_kernel(to, c.from, text_.size() - 1000));
    EXPECT_TRUE(sender.join());
    EXPECT_EQ(text_, baton::read_file(dir_ / "to").value());
  });
}

// The file refuses splice when some of the text is in the copy's own pipe.
TEST_F(CopyInTheKernel, ToAFileThatIsOpenForAppending) {
  baton::run([this] {
    connection c;
    auto sender = baton::spawn([&] {
      const bool all = c.to.write(text_).ok();
      return c.to.close_write().ok() && all;
    });
    file to = file::open(dir_ / "to", O_WRONLY | O_CREAT | O_APPEND).value();
    EXPECT_EQ(text_.size(), baton::copy(to, c.from).value());
    EXPECT_TRUE(sender.join());
    EXPECT_EQ(text_, baton::read_file(dir_ / "to").value());
  });
}

// A deadline that has passed ends a copy that would not have to wait, and one that comes ends a copy that waits.
template <class W, class R, class Side>
void expect_deadline(W& to, R& from, Side& with_deadline) {
  const auto now = std::chrono::steady_clock::now();
  (void)with_deadline.set_deadline(now);
  const absl::Status past = baton::copy(to, from).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(past)) << past;
  EXPECT_EQ(0u, baton::written_of(past));
  (void)with_deadline.set_deadline(now + std::chrono::milliseconds(20));
  const absl::Status late = baton::copy(to, from).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  (void)with_deadline.set_deadline(std::chrono::steady_clock::time_point::max());
}

TEST_F(CopyInTheKernel, DeadlinesOfBothSides) {
  baton::run([this] {
    file from = file::open(dir_ / "from").value();
    ends full;
    expect_deadline(full.out, from, full.out);
    auto full_pipe = baton::make_pipe().value();
    expect_deadline(full_pipe.writer, from, full_pipe.writer);
    file to = file::open(dir_ / "to", O_RDWR | O_CREAT).value();
    ends silent;
    expect_deadline(to, silent.in, silent.in);
    auto silent_pipe = baton::make_pipe().value();
    expect_deadline(to, silent_pipe.reader, silent_pipe.reader);
    expect_deadline(full_pipe.writer, silent_pipe.reader, silent_pipe.reader);
    connection c;
    expect_deadline(to, c.from, c.from);
    expect_deadline(c.to, c.to, c.to);
  });
}

TEST_F(CopyInTheKernel, AClosedSideEndsACopyThatWaits) {
  baton::run([this] {
    auto target = baton::make_pipe().value();
    auto source = baton::make_pipe().value();
    for (const bool closes_target : {true, false}) {
      baton::test::watched_agent copies;
      auto copier = baton::spawn([&] {
        copies.about_to_wait();
        return baton::copy(target.writer, source.reader).status();
      });
      copies.await_parked();
      if (closes_target) {
        target.writer.close();
        EXPECT_EQ(4u, source.writer.write("text").value());
      } else {
        source.reader.close();
      }
      const absl::Status s = copier.join();
      EXPECT_TRUE(absl::IsCancelled(s)) << s;
      if (closes_target) target = baton::make_pipe().value();
    }
    // A file that is sent to a stream without a reader can be closed.
    connection c;
    file from = file::open(dir_ / "from").value();
    baton::test::watched_agent sends;
    auto sender = baton::spawn([&] {
      sends.about_to_wait();
      for (;;) {
        if (const auto n = baton::copy(c.to, from); !n.ok()) return n.status();
        (void)::lseek(from.native_handle(), 0, SEEK_SET);
      }
    });
    sends.await_parked();
    EXPECT_EQ(absl::OkStatus(), from.close());
    c.to.close();
    EXPECT_FALSE(sender.join().ok());
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
