// copy FROM TO [METHOD]: copies a file in one of the ways that the kernel has.
//
//   read_write        through a buffer of this process: any file, each byte is copied twice
//   sendfile          from a regular file to anything, within the kernel
//   copy_file_range   from file to file; a file system that can shares the blocks, and copies nothing
//   splice            through a pipe: from anything to anything, one of the two a pipe; the pages move, not the bytes
//   auto (default)    baton::copy, which takes the best of these, and goes on with another one where it is refused
//
// On a terminal a bar shows how far it is. Each piece is a declared call, so other fibers (here: the one that draws the
// bar) run meanwhile. SIGINT and SIGTERM end it between two pieces, and the file that was begun is removed.
#include "command_line.h"

#include <baton/baton.h>

#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace {

using namespace std::chrono_literals;

constexpr std::size_t piece = std::size_t{4} << 20;

using moved = absl::StatusOr<std::size_t>;  // of one piece; 0: the end
using method = moved (*)(baton::file& from, baton::file& to);

moved status_of(baton::sys::result<std::size_t> r, const char* what) {
  if (!r) return r.status(what);
  return *r;
}

moved read_write(baton::file& from, baton::file& to) {
  static const auto buffer = std::make_unique<std::array<char, piece>>();
  moved n = from.read(*buffer);
  if (!n.ok() || *n == 0) return n;
  return to.write({buffer->data(), *n});
}
moved sendfile(baton::file& from, baton::file& to) {
  return status_of(baton::sys::sendfile(to.native_handle(), from.native_handle(), nullptr, piece), "sendfile");
}
moved copy_file_range(baton::file& from, baton::file& to) {
  return status_of(baton::sys::copy_file_range(from.native_handle(), nullptr, to.native_handle(), nullptr, piece, 0),
                   "copy_file_range");
}
moved splice(baton::file& from, baton::file& to) {
  static const std::array<int, 2> pipe = *baton::sys::pipe2(O_CLOEXEC);
  moved into = status_of(baton::sys::splice(from.native_handle(), nullptr, pipe[1], nullptr, piece, 0), "splice");
  if (!into.ok()) return into;
  for (std::size_t left = *into; left > 0;) {
    moved out = status_of(baton::sys::splice(pipe[0], nullptr, to.native_handle(), nullptr, left, 0), "splice");
    if (!out.ok()) return out;
    left -= *out;
  }
  return into;
}
moved automatic(baton::file& from, baton::file& to) { return baton::copy(to, from, piece); }

// Redraws the bar until the context is done.
void draw(const baton::context& ctx, const std::atomic<std::uint64_t>& done, std::uint64_t size) {
  constexpr int width = 40;
  for (bool last = false; !last;) {
    last = ctx.is_done();
    const std::uint64_t now = done.load();
    const int filled = size == 0 ? width : static_cast<int>(std::min<std::uint64_t>(width, now * width / size));
    std::fprintf(stderr, "\r[%.*s%*s] %llu MB", filled, "########################################", width - filled, "",
                 static_cast<unsigned long long>(now >> 20));
    if (!last) baton::select_for(100ms, baton::on_done(ctx, [] {}));
  }
  std::fputc('\n', stderr);
}

absl::Status copy(baton::file& from, baton::file& to, method move) {
  const auto stop = baton::os_signals::notify_context(baton::context::background(), {SIGINT, SIGTERM});
  const auto finished = baton::with_cancel(stop);
  const auto what = from.stat();
  if (!what.ok()) return what.status();
  std::atomic<std::uint64_t> done = 0;
  baton::fiber<void> bar;
  if (::isatty(STDERR_FILENO) != 0) {
    bar = baton::spawn([&] { draw(finished, done, static_cast<std::uint64_t>(what->st_size)); });
  }
  absl::Status end;
  while (end.ok()) {
    moved n = move(from, to);
    if (!n.ok() || *n == 0) {
      end = n.status();
      break;
    }
    done += *n;
    end = stop.error();
  }
  finished.cancel();
  if (bar.joinable()) bar.join();
  return end;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, method> methods{{"auto", automatic},
                                              {"read_write", read_write},
                                              {"sendfile", sendfile},
                                              {"copy_file_range", copy_file_range},
                                              {"splice", splice}};
  const auto chosen = methods.find(argc > 3 ? argv[3] : "auto");
  if (argc < 3 || argc > 4 || chosen == methods.end()) {
    return examples::misused("copy FROM TO [auto|read_write|sendfile|copy_file_range|splice]");
  }
  return examples::run("copy", [&] {
    auto from = baton::file::open(argv[1]);
    if (!from.ok()) return examples::failed("copy", from.status());
    auto to = baton::file::open(argv[2], O_WRONLY | O_CREAT | O_EXCL);  // what is there stays
    if (!to.ok()) return examples::failed("copy", to.status());
    absl::Status end = copy(*from, *to, chosen->second);
    end.Update(to->close());
    if (end.ok()) return 0;
    ::unlink(argv[2]);
    return examples::failed("copy", end);
  });
}
