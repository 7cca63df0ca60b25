// Two vendors' libraries that know nothing of fibers, used from 200 of them on one P: hiredis, whose BLPOP blocks its
// thread until a value is pushed, and SQLite, whose writers wait for each other. A fiber that wakes every millisecond
// shows whether the other fibers are harmed.
//
//   vendor_calls <redis socket> [fibers] [scopes | interposed]        default 200 scopes
//
// The last argument says how the libraries' calls are declared: by scopes that the program puts around them, or by
// baton::interpose in the libraries themselves (vendor_call.h).
//
// Exit code 0: everything that was pushed was received and written down once, and the other fibers ran; 1: it was not;
// 128 and the number of the signal that ended it.
#include "../command_line.h"
#include "../descriptor_limit.h"
#include "ledger.h"
#include "queue.h"
#include "vendor_call.h"

#include <baton/baton.h>

#include <absl/cleanup/cleanup.h>

#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

// Measures how late a fiber is that sleeps a millisecond, again and again.
class heartbeat {
 public:
  heartbeat() : fiber_(baton::spawn([this] { beat(); })) {}
  // Ends it. Returns how late the fiber was, in microseconds, sorted.
  std::vector<double> end() {
    stop_ = true;
    fiber_.join();
    std::sort(late_.begin(), late_.end());
    return late_;
  }

 private:
  void beat() {
    while (!stop_) {
      const auto due = clock_type::now() + 1ms;
      baton::this_fiber::sleep_until(due);
      late_.push_back(std::chrono::duration<double, std::micro>(clock_type::now() - due).count());
    }
  }

  std::atomic<bool> stop_{false};
  std::vector<double> late_;
  baton::fiber<void> fiber_;
};

void print(const char* what, const std::vector<double>& late) {
  if (late.empty()) return;
  std::printf("%s: %zu heartbeats, late by p50 %.0f us, p99 %.0f us, at most %.0f us\n", what, late.size(),
              late[late.size() / 2], late[late.size() * 99 / 100], late.back());
}

// Half of the fibers push; the other half wait for what these push, and write it down. Returns false if anything is
// missing. Throws the first exception of a fiber. The other fibers end then, or when the context is done, within a
// second or so: a vendor's call cannot be cancelled, so no call is made that waits for longer.
bool exchange(const std::string& socket, const std::string& file, int pairs, const baton::context& ctx) {
  constexpr std::size_t rounds = 3;
  ledger(file).create();
  std::atomic<std::size_t> received{0};
  baton::task_group all(ctx);
  for (int i = 0; i < pairs; ++i) {
    const std::string name = "baton:" + std::to_string(::getpid()) + ":" + std::to_string(i);
    all.spawn([&, i, name](const baton::context& running) {
      queue q(socket, name);
      ledger book(file);
      std::set<std::string> seen;
      for (auto give_up = clock_type::now() + 30s; seen.size() < rounds && !running.is_done();) {
        const auto value = q.pop(1);
        if (!value && clock_type::now() > give_up) return;
        if (!value) continue;
        book.add(i, *value);
        q.done(*value);
        if (seen.insert(*value).second) received.fetch_add(1);
        give_up = clock_type::now() + 30s;
      }
    });
    all.spawn([&socket, i, name](const baton::context& running) {
      queue q(socket, name);
      for (std::size_t k = 0; k < rounds; ++k) {
        if (running.wait_done_for(std::chrono::milliseconds(20 + i % 50))) return;
        q.push("from " + std::to_string(i) + ", value " + std::to_string(k));
      }
    });
  }
  static_cast<void>(all.wait());
  const int written = ledger(file).entries();
  const std::size_t wanted = static_cast<std::size_t>(pairs) * rounds;
  std::printf("%d fibers: %zu of %zu received, %d written\n", 2 * pairs, received.load(), wanted, written);
  return received == wanted && static_cast<std::size_t>(written) == wanted;
}

// Works in a directory of its own, which no other program can have prepared.
bool exchange_in_new_file(const std::string& socket, int pairs, const baton::context& ctx) {
  std::string directory = std::filesystem::temp_directory_path() / "vendor_calls.XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "make the directory " + directory);
  }
  const absl::Cleanup remove = [&] {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  };
  return exchange(socket, directory + "/ledger.db", pairs, ctx);
}

int run(const std::string& socket, int fibers) {
  {
    heartbeat alone;
    baton::this_fiber::sleep_for(300ms);
    print("alone", alone.end());
  }
  const auto running = baton::with_cancel({});
  const baton::channel<int> signals(1);
  baton::os_signals::notify(signals, {SIGINT, SIGTERM});
  auto watch = baton::spawn([&] {
    const int signal = signals.receive().value_or(0);  // 0: closed
    if (signal != 0) running.cancel();
    baton::os_signals::stop(signals);  // a second signal ends the process, as it does without a handler
    return signal;
  });
  const absl::Cleanup over = [&] { signals.close(); };  // ends the watch, also after an exception
  const auto begin = clock_type::now();
  heartbeat beside;
  bool good = false;
  try {
    good = exchange_in_new_file(socket, fibers / 2, running);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "vendor_calls: %s\n", e.what());
  }
  const auto late = beside.end();
  signals.close();
  if (const int signal = watch.join(); signal != 0) return 128 + signal;
  const double seconds = std::chrono::duration<double>(clock_type::now() - begin).count();
  print(interposed ? "beside the vendors, interposed" : "beside the vendors, in scopes", late);
  const auto s = baton::stats();
  std::printf("%.2f s, %llu threads started; handed over: %llu predicted, %llu unknown; retaken %llu, rescued %llu\n",
              seconds, static_cast<unsigned long long>(s.threads_started),
              static_cast<unsigned long long>(s.handoffs_predicted),
              static_cast<unsigned long long>(s.handoffs_unknown), static_cast<unsigned long long>(s.retakes),
              static_cast<unsigned long long>(s.rescues));
  return good && late.size() >= 10 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  long fibers = 200;
  const std::string_view how = argc > 3 ? argv[3] : "scopes";
  if (argc < 2 || !examples::are_operands(argc, argv, 3) ||
      (argc > 2 && !examples::read_number(argv[2], 2, 2'000, fibers)) || (how != "scopes" && how != "interposed")) {
    return examples::misused("vendor_calls <redis socket> [fibers] [scopes | interposed]");
  }
  interposed = how == "interposed";
  examples::raise_descriptor_limit();
  baton::options options;
  options.procs = 1;
  return examples::run(
      "vendor_calls", [&] { return run(argv[1], static_cast<int>(fibers)); }, options);
}
