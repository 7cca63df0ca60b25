// run COMMAND...: keeps programs running. Each COMMAND is a line for /bin/sh.
//
//   $ run 'exec ./api_server 8080' 'exec ./worker'
//   [1] started, process 4711
//   [2] started, process 4712
//   [2] connected to the queue
//   [2] exit code 1 after 0.2 s; again in 100 ms
//
// What the programs write to stdout and stderr becomes the log, line by line with the number of the program. One that
// fails is started again, after 100 ms at first and twice as long after each failure, at most 10 s; after a good minute
// it begins with 100 ms again. One that ends with exit code 0 is done, and so is `run` when all are. SIGINT or SIGTERM
// ends all programs: SIGTERM to each with its children, and SIGKILL after 5 s. Then `run` ends with 0 if all programs
// have ended.
#include "command_line.h"
#include "printable_text.h"

#include <baton/baton.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr auto first_pause = 100ms;
constexpr auto longest_pause = 10'000ms;
constexpr auto good_run = 60s;
constexpr auto grace = 5s;
constexpr std::size_t longest_line = 4096;

class program {
 public:
  program(int number, std::string line) : number_(number), line_(std::move(line)) {}

  // Keeps it running until it is done, or the context is. Fails if it cannot be started.
  absl::Status keep_running(const baton::context& stop) const {
    for (auto pause = first_pause;; pause = std::min(pause * 2, longest_pause)) {
      const auto begin = clock_type::now();
      const absl::StatusOr<baton::exit_status> end = run_once(stop);
      if (!end.ok()) return stop.is_done() ? absl::OkStatus() : end.status();
      const std::chrono::duration<double> length = clock_type::now() - begin;
      if (stop.is_done() || end->success()) {
        log("%s after %.1f s", end->to_string().c_str(), length.count());
        return absl::OkStatus();
      }
      if (length > good_run) pause = first_pause;
      log("%s after %.1f s; again in %lld ms", end->to_string().c_str(), length.count(),
          static_cast<long long>(pause.count()));
      if (stop.wait_done_for(pause)) return absl::OkStatus();
    }
  }

 private:
  absl::StatusOr<baton::exit_status> run_once(const baton::context& stop) const {
    baton::command shell("/bin/sh", {"-c", line_});
    shell.process_group().kill_grace(grace).stderr_to_stdout();
    absl::StatusOr<baton::pipe_reader> output = shell.stdout_pipe();
    if (!output.ok()) return output.status();
    absl::StatusOr<baton::process> child = shell.start();
    if (!child.ok()) return child.status();
    log("started, process %d", static_cast<int>(child->id()));
    auto logger = baton::spawn([&] { log_lines(*output); });
    absl::StatusOr<baton::exit_status> end = child->wait(stop);
    // A process that it leaves behind may keep the pipe; the next run has a pipe of its own.
    output->set_deadline(clock_type::now() + 1s);
    logger.join();
    return end;
  }

  void log_lines(baton::pipe_reader& from) const {
    std::string text;
    std::array<char, longest_line> part;
    for (;;) {
      const absl::StatusOr<std::size_t> n = from.read(part);
      if (!n.ok() || *n == 0) break;
      text.append(part.data(), *n);
      for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) log_line(text, end);
      if (text.size() >= longest_line) {
        log_line(text, text.size());
        text.clear();
      }
    }
    if (!text.empty()) log_line(text, text.size());
  }

  void log_line(const std::string& text, std::size_t size) const {
    log("%s", examples::printable(std::string_view(text).substr(0, size), longest_line).c_str());
  }

  // One line at once: stdout has a lock of its own, which is held for a write only.
  template <class... Args>
  void log(const char* format, Args... args) const {
    std::array<char, longest_line + 100> line;
    const int n = std::snprintf(line.data(), line.size(), format, args...);
    if (n < 0) return;
    baton::blocking([&] {
      std::printf("[%d] %s\n", number_, line.data());
      std::fflush(stdout);
    });
  }

  const int number_;
  const std::string line_;
};

int supervise(int count, char** lines) {
  const auto stop = baton::os_signals::notify_context(baton::context::background(), {SIGINT, SIGTERM});
  baton::task_group all(stop);
  for (int i = 0; i < count; ++i) {
    all.spawn([p = program(i + 1, lines[i])](const baton::context& ctx) { return p.keep_running(ctx); });
  }
  const absl::Status ended = all.wait();  // the first that cannot be started ends the others
  return ended.ok() || stop.is_done() ? 0 : examples::failed("run", ended);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return examples::misused("run COMMAND...");
  return examples::run("run", [&] { return supervise(argc - 1, argv + 1); });
}
