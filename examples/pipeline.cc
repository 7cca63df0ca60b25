// A pipeline: stages that are fibers, with channels between them. It reads numbers, one a line, factors them on several
// processors, and prints them with their prime factors in the order in which they came.
//
//   seq 1000000000 1000000020 | pipeline [workers]        default: one for each processor
//
//   read -> lines -> distribute -+-> todo -> factor (several) -.
//                                |                             | each job has its own channel for the answer
//                                `-> in_order ---> print <-----'
//
// - The stage that sends into a channel closes it. The stage that receives goes on until it is closed and drained.
// - The stages are a task_group: a line that is not a number, or a stdout without a reader, ends all of them.
// - Ctrl-C or SIGTERM cancels. Each wait is a select that includes the context, and the one loop that computes checks
//   the context now and then, so all stages end at once. The exit code is 128 + the signal, as with a shell.
// - The channels have little room: a slow stage makes those before it wait, back to the reader.
#include <baton/baton.h>

#include "command_line.h"
#include "line_reader.h"
#include "printable_text.h"

#include <unistd.h>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

namespace {

using baton::channel;
using baton::context;

struct job {
  std::uint64_t number;
  channel<std::string> answer = channel<std::string>(1);
};

// Receives, unless the context is done first. Returns empty if the channel is closed and drained, or if cancelled.
template <class T>
std::optional<T> take(const context& ctx, const channel<T>& from) {
  std::optional<T> taken;
  baton::select(baton::on_receive(from, [&](std::optional<T> value) { taken = std::move(value); }),
                baton::on_done(ctx, [] {}));
  return taken;
}

// Sends, unless the context is done first.
template <class T>
void give(const context& ctx, const channel<T>& to, T value) {
  baton::select(baton::on_send(to, std::move(value), [](bool) {}), baton::on_done(ctx, [] {}));
}

// Where stdin is a terminal or a pipe, a read parks the fiber until there is a line. Nothing cancels it. So this fiber
// is not joined. It holds only a handle of the channel, and the end of the process ends it.
void read(const channel<absl::StatusOr<std::string>>& lines) {
  auto stdin_file = baton::file::borrow(STDIN_FILENO, "stdin");
  examples::line_reader in(
      [&](baton::bytes into) -> absl::StatusOr<std::size_t> {
        if (!stdin_file.ok()) return stdin_file.status();
        return stdin_file->read(into);
      },
      4096);
  for (std::string line; in.next(line);) {
    if (!lines.send(line)) return;
  }
  if (!in.status().ok()) lines.send(in.status());
  lines.close();
}

absl::Status distribute(const context& ctx, const channel<absl::StatusOr<std::string>>& lines, const channel<job>& todo,
                        const channel<job>& in_order) {
  for (int line = 1; auto text = take(ctx, lines); ++line) {
    if (!text->ok()) return text->status();
    job j{};
    const char* const end = (*text)->data() + (*text)->size();
    const auto [stopped_at, error] = std::from_chars((*text)->data(), end, j.number);
    if (error != std::errc() || stopped_at != end) {
      return absl::InvalidArgumentError("line " + std::to_string(line) +
                                        " is no number: " + examples::printable(**text, 60));
    }
    give(ctx, in_order, j);  // first: a job that is worked on is in the queue for printing
    give(ctx, todo, std::move(j));
  }
  todo.close();
  in_order.close();
  return ctx.error();
}

// Returns empty if cancelled. Computing keeps the processor from other fibers, so it lets them run now and then.
std::optional<std::string> factors_of(const context& ctx, std::uint64_t n) {
  std::string text;
  std::uint64_t steps = 0;
  for (std::uint64_t d = 2; d <= n / d; d += d == 2 ? 1 : 2) {
    for (; n % d == 0; n /= d) text += " " + std::to_string(d);
    if (++steps % 16'384 == 0) {
      if (ctx.is_done()) return std::nullopt;
      baton::this_fiber::yield();
    }
  }
  if (n > 1 || text.empty()) text += " " + std::to_string(n);
  return text;
}

absl::Status factor(const context& ctx, const channel<job>& todo) {
  while (const auto j = take(ctx, todo)) {
    auto factors = factors_of(ctx, j->number);
    if (factors) j->answer.send(std::move(*factors));  // has room: never waits
  }
  return ctx.error();
}

// Writes a line at a time: a result is printed as soon as it is there. A full pipe blocks this fiber, not its P.
absl::Status print(const context& ctx, const channel<job>& in_order) {
  auto stdout_file = baton::file::borrow(STDOUT_FILENO, "stdout");
  if (!stdout_file.ok()) return stdout_file.status();
  while (const auto j = take(ctx, in_order)) {
    const auto factors = take(ctx, j->answer);
    if (!factors) break;
    const auto written = stdout_file->write(std::to_string(j->number) + ":" + *factors + "\n");
    if (!written.ok()) return written.status();
  }
  return ctx.error();
}

int run(int workers) {
  const channel<absl::StatusOr<std::string>> lines(16);
  const channel<job> todo(16);
  const channel<job> in_order(64);

  const channel<int> signals(1);
  baton::os_signals::notify(signals, {SIGINT, SIGTERM});
  baton::task_group stages;
  stages.spawn([&](const context& ctx) { return distribute(ctx, lines, todo, in_order); });
  for (int i = 0; i < workers; ++i) {
    stages.spawn([&](const context& ctx) { return factor(ctx, todo); });
  }
  stages.spawn([&](const context& ctx) { return print(ctx, in_order); });
  baton::go(read, lines);

  auto watch = baton::spawn([&] {
    const int signal = signals.receive().value_or(0);  // 0: closed
    if (signal != 0) stages.cancel();
    baton::os_signals::stop(signals);  // a second signal ends the process, as it does without a handler
    return signal;
  });

  const absl::Status end = stages.wait();
  lines.close();  // in case the reader still wants to send
  signals.close();
  if (const int signal = watch.join(); signal != 0) {
    std::fprintf(stderr, "cancelled\n");
    return 128 + signal;
  }
  return end.ok() ? 0 : examples::failed("pipeline", end);
}

}  // namespace

int main(int argc, char** argv) {
  long workers = 0;
  if (!examples::are_operands(argc, argv, 1) || (argc > 1 && !examples::read_number(argv[1], 1, 10'000, workers))) {
    return examples::misused("pipeline [workers] <numbers");
  }
  return examples::run("pipeline", [&] { return run(workers > 0 ? static_cast<int>(workers) : baton::procs()); });
}
