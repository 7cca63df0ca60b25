// monitor PID...: says when each of these processes ends, and how many there still are.
//
//   $ monitor 4711 4712
//   watching 4711 (postgres)
//   watching 4712 (nginx)
//   4712 (nginx) has ended after 3.2 s, 1 left
//
// The processes need not be children of this one, so it does not learn their exit status. A pidfd stands for a process:
// it becomes readable when the process ends, and never stands for another one that gets the number later. One fiber
// waits for each, in the poller; they need no thread. The program ends with the last process, or by SIGINT or SIGTERM.
#include "command_line.h"
#include "printable_text.h"

#include <baton/baton.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace {

struct watched {
  std::string name;  // "4711 (postgres)"
  baton::net::pollable end;
};

std::string name_of(long pid) {
  std::string number = std::to_string(pid);
  absl::StatusOr<std::string> command = baton::read_file("/proc/" + number + "/comm");
  if (!command.ok()) return number;
  command->erase(std::remove(command->begin(), command->end(), '\n'), command->end());
  return number + " (" + examples::printable(*command, 16) + ")";
}

absl::StatusOr<watched> watch(long pid) {
  const auto opened = baton::sys::pidfd_open(static_cast<pid_t>(pid));
  if (!opened) return opened.status("watch process " + std::to_string(pid));
  baton::sys::owned_fd fd(*opened);
  auto end = baton::net::pollable::adopt(fd.get());
  if (!end.ok()) return end.status();
  (void)fd.release();
  return watched{name_of(pid), *std::move(end)};
}

int monitor(const std::vector<long>& pids) {
  const auto stop = baton::os_signals::notify_context(baton::context::background(), {SIGINT, SIGTERM});
  std::vector<watched> all;
  for (const long pid : pids) {
    absl::StatusOr<watched> w = watch(pid);
    if (!w.ok()) return examples::failed("monitor", w.status());
    std::printf("watching %s\n", w->name.c_str());
    all.push_back(*std::move(w));
  }
  std::fflush(stdout);

  const auto begin = std::chrono::steady_clock::now();
  std::atomic<std::size_t> left = all.size();
  baton::task_group waits(stop);
  for (watched& w : all) {
    waits.spawn([&](const baton::context& ctx) -> absl::Status {
      w.end.set_context(ctx);
      if (absl::Status s = w.end.wait_readable(); !s.ok()) return s;
      const std::chrono::duration<double> after = std::chrono::steady_clock::now() - begin;
      std::printf("%s has ended after %.1f s, %zu left\n", w.name.c_str(), after.count(), --left);
      std::fflush(stdout);
      return absl::OkStatus();
    });
  }
  const absl::Status ended = waits.wait();
  if (ended.ok() || stop.is_done()) return 0;
  return examples::failed("monitor", ended);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<long> pids;
  for (int i = 1; i < argc; ++i) {
    long pid = 0;
    if (!examples::read_number(argv[i], 1, INT_MAX, pid)) return examples::misused("monitor PID...");
    pids.push_back(pid);
  }
  if (pids.empty()) return examples::misused("monitor PID...");
  return examples::run("monitor", [&] { return monitor(pids); });
}
