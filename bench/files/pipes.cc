// A byte goes there and back through two pipes.
//
//   pipe ops=N                   between two fibers, N times. Bare: between two threads, which read and write without
//                                O_NONBLOCK, and are not bound to a CPU
//   pipe_child child=PROGRAM     between a fiber and a child process, which is `PROGRAM echo`. Bare: between the main
//     ops=N                      thread and such a child
//   prints (us, for each round trip)
#include "scenarios.h"

#include <baton/netpoll/pipe.h>
#include <baton/runtime/command.h>
#include <baton/runtime/fiber.h>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <thread>
#include <utility>

namespace files {

namespace {

constexpr int warm_up = 100;

// round_trip() -> false if something is wrong.
template <class RoundTrip>
std::int64_t timed_round_trips(std::int64_t ops, RoundTrip round_trip) {
  for (int i = 0; i < warm_up; ++i) {
    if (!round_trip()) die("the byte did not come back");
  }
  const std::int64_t begin = now_ns();
  for (std::int64_t i = 0; i < ops; ++i) {
    if (!round_trip()) die("the byte did not come back");
  }
  return now_ns() - begin;
}

// ---- baton ----

bool there_and_back(baton::pipe_writer& there, baton::pipe_reader& back) {
  char byte = 'x';
  if (!there.write(baton::const_bytes(&byte, 1)).ok()) return false;
  const auto n = back.read(baton::bytes(&byte, 1));
  return n.ok() && *n == 1;
}

std::int64_t between_fibers(std::int64_t ops) {
  auto there = baton::make_pipe();
  auto back = baton::make_pipe();
  if (!there.ok() || !back.ok()) die("no pipe");
  auto other = baton::spawn([&] {
    char byte = 0;
    for (;;) {
      const auto n = there->reader.read(baton::bytes(&byte, 1));
      if (!n.ok() || *n != 1 || !back->writer.write(baton::const_bytes(&byte, 1)).ok()) break;
    }
  });
  const std::int64_t took = timed_round_trips(ops, [&] { return there_and_back(there->writer, back->reader); });
  there->writer.close();
  other.join();
  return took;
}

std::int64_t fiber_and_child(const std::string& program, std::int64_t ops) {
  baton::command child(program, {"echo"});
  auto there = child.stdin_pipe();
  auto back = child.stdout_pipe();
  if (!there.ok() || !back.ok()) die("no pipe");
  auto started = child.start();
  if (!started.ok()) die("cannot start the child");
  const std::int64_t took = timed_round_trips(ops, [&] { return there_and_back(*there, *back); });
  there->close();
  const auto end = started->wait();
  if (!end.ok() || !end->success()) die("the child has failed");
  return took;
}

// ---- bare ----

struct plain_pipe {
  int reader = -1;
  int writer = -1;
  plain_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) die("no pipe");
    reader = ends[0];
    writer = ends[1];
  }
  ~plain_pipe() {
    ::close(reader);
    close_writer();
  }
  plain_pipe(const plain_pipe&) = delete;
  plain_pipe& operator=(const plain_pipe&) = delete;
  void close_writer() {
    if (writer >= 0) ::close(std::exchange(writer, -1));
  }
};

void echo_bytes(int from, int to) {
  char bytes[64];
  for (ssize_t n = 0; (n = ::read(from, bytes, sizeof bytes)) > 0;) {
    if (::write(to, bytes, static_cast<std::size_t>(n)) != n) break;
  }
}

bool there_and_back(int there, int back) {
  char byte = 'x';
  return ::write(there, &byte, 1) == 1 && ::read(back, &byte, 1) == 1;
}

std::int64_t between_threads(std::int64_t ops) {
  plain_pipe there, back;
  std::thread other([&] { echo_bytes(there.reader, back.writer); });
  const std::int64_t took = timed_round_trips(ops, [&] { return there_and_back(there.writer, back.reader); });
  there.close_writer();
  other.join();
  return took;
}

std::int64_t thread_and_child(std::string program, std::int64_t ops) {
  plain_pipe there, back;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, there.reader, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, back.writer, STDOUT_FILENO);
  char scenario[] = "echo";
  char* const argv[] = {program.data(), scenario, nullptr};
  pid_t child = 0;
  if (::posix_spawn(&child, program.c_str(), &actions, nullptr, argv, ::environ) != 0) die("cannot start the child");
  ::posix_spawn_file_actions_destroy(&actions);
  const std::int64_t took = timed_round_trips(ops, [&] { return there_and_back(there.writer, back.reader); });
  there.close_writer();
  int status = -1;
  if (::waitpid(child, &status, 0) != child || status != 0) die("the child has failed");
  return took;
}

}  // namespace

void pipe(const arguments& a, report& out) {
  const std::int64_t ops = a.number("ops", 10'000);
  in_turns(
      a, out, microseconds, ops, [&] { return between_fibers(ops); }, [&] { return between_threads(ops); });
}

void pipe_child(const arguments& a, report& out) {
  const std::int64_t ops = a.number("ops", 10'000);
  const std::string program = a.text("child");
  in_turns(
      a, out, microseconds, ops, [&] { return fiber_and_child(program, ops); },
      [&] { return thread_and_child(program, ops); });
}

void echo(const arguments&, report&) {
  echo_bytes(STDIN_FILENO, STDOUT_FILENO);
  ::_exit(0);
}

}  // namespace files
