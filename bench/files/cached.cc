// Files that lie in the page cache.
//
//   cached_read file=PATH ops=N    one fiber reads 4 KiB at random places of the file, N times. Bare: pread (ns)
//   copy file=PATH to=PATH         the file is copied to a new one by baton::copy. Bare: the command cp is started and
//                                  waited for (ms, for the whole file)
//   read_line file=PATH            lines are read through a buffered_reader. Bare: by getline from a FILE (ns, for each
//                                  line)
#include "scenarios.h"

#include <baton/runtime/file.h>
#include <baton/runtime/io.h>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cstdio>

namespace files {

namespace {

baton::file open_or_die(const std::string& path, int flags = O_RDONLY) {
  auto file = baton::file::open(path, flags);
  if (!file.ok()) die("cannot open the file");
  return *std::move(file);
}

template <class Read>
std::int64_t timed_reads(std::int64_t ops, off_t size, Read read) {
  random_page next(1, size);
  const std::int64_t begin = now_ns();
  for (std::int64_t i = 0; i < ops; ++i) {
    if (!read(next())) die("cannot read");
  }
  return now_ns() - begin;
}

std::int64_t copied_by_baton(const std::string& from, const std::string& to) {
  ::unlink(to.c_str());
  const std::int64_t begin = now_ns();
  baton::file source = open_or_die(from);
  baton::file target = open_or_die(to, O_WRONLY | O_CREAT | O_EXCL);
  if (!baton::copy(target, source).ok() || !target.close().ok()) die("cannot copy");
  return now_ns() - begin;
}

std::int64_t copied_by_cp(std::string from, std::string to) {
  ::unlink(to.c_str());
  const std::int64_t begin = now_ns();
  char name[] = "cp";
  char* const argv[] = {name, from.data(), to.data(), nullptr};
  pid_t child = 0;
  int status = -1;
  if (::posix_spawnp(&child, name, nullptr, nullptr, argv, ::environ) != 0) die("cannot start cp");
  if (::waitpid(child, &status, 0) != child || status != 0) die("cp has failed");
  return now_ns() - begin;
}

struct lines_read {
  std::int64_t took_ns = 0;
  std::int64_t lines = 0;
  std::size_t bytes = 0;
};

lines_read by_read_line(const std::string& path) {
  baton::file file = open_or_die(path);
  baton::buffered_reader in(file);
  lines_read all;
  const std::int64_t begin = now_ns();
  for (;;) {
    const auto line = in.read_line(4096);
    if (!line.ok()) die("read_line");
    if (!line->has_value()) break;
    all.bytes += (*line)->size() + 1;
    ++all.lines;
  }
  all.took_ns = now_ns() - begin;
  return all;
}

lines_read by_getline(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) die("cannot open the file");
  char* line = nullptr;
  std::size_t room = 0;
  lines_read all;
  const std::int64_t begin = now_ns();
  for (ssize_t n = 0; (n = ::getline(&line, &room, file)) > 0; ++all.lines) all.bytes += static_cast<std::size_t>(n);
  all.took_ns = now_ns() - begin;
  std::free(line);
  std::fclose(file);
  return all;
}

}  // namespace

void cached_read(const arguments& a, report& out) {
  baton::file file = open_or_die(a.text("file"));
  const int fd = file.native_handle();
  const off_t size = file.stat()->st_size;
  const std::int64_t ops = a.number("ops", 20'000);
  const page_memory memory = make_pages(1);
  in_turns(
      a, out, nanoseconds, ops,
      [&] {
        return timed_reads(ops, size, [&](off_t at) {
          const auto n = file.read_at(baton::bytes(memory.get(), page), at);
          return n.ok() && *n == page;
        });
      },
      [&] {
        return timed_reads(ops, size,
                           [&](off_t at) { return ::pread(fd, memory.get(), page, at) == static_cast<ssize_t>(page); });
      });
}

void copy(const arguments& a, report& out) {
  const std::string from = a.text("file"), to = a.text("to");
  in_turns(
      a, out, milliseconds, 1, [&] { return copied_by_baton(from, to); }, [&] { return copied_by_cp(from, to); });
  ::unlink(to.c_str());
}

void read_line(const arguments& a, report& out) {
  const std::string path = a.text("file");
  const lines_read all = by_getline(path);
  const auto checked = [&all](const lines_read& some) {
    if (some.lines != all.lines || some.bytes != all.bytes) die("lines are missing");
    return some.took_ns;
  };
  in_turns(
      a, out, nanoseconds, all.lines, [&] { return checked(by_read_line(path)); },
      [&] { return checked(by_getline(path)); });
}

}  // namespace files
