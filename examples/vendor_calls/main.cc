// Two vendors' libraries that know nothing of fibers, used from 200 of them on one P: hiredis, whose
// BLPOP blocks its thread until somebody pushes, and SQLite, whose writers wait for each other. A fiber
// that wakes every millisecond shows whether the others are harmed.
//
//   vendor_calls <redis socket> [fibers]
//
// Exit code 0: everything that was pushed was received once and written down, and the others ran.
#include "ledger.h"
#include "queue.h"

#include <baton/baton.h>

#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

// How late a fiber is that sleeps a millisecond, again and again.
class heartbeat {
 public:
  heartbeat() : fiber_(baton::spawn([this] { beat(); })) {}
  // Ends it; microseconds late, in order.
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

// Half of the fibers push, half wait for what the others push and write it down.
bool exchange(const std::string& socket, const std::string& file, int fibers) {
  const int pairs = fibers / 2;
  const int rounds = 3;
  { ledger(file).create(); }
  std::atomic<int> received{0};
  std::vector<baton::fiber<void>> all;
  for (int i = 0; i < pairs; ++i) {
    const std::string name = "baton:" + std::to_string(i);
    all.push_back(baton::spawn([&, i, name] {
      queue q(socket, name);
      ledger book(file);
      for (int k = 0; k < rounds; ++k) {
        const auto value = q.pop(30);
        if (!value) continue;
        received.fetch_add(1);
        book.add(i, *value);
      }
    }));
    all.push_back(baton::spawn([&, i, name] {
      queue q(socket, name);
      for (int k = 0; k < rounds; ++k) {
        baton::this_fiber::sleep_for(std::chrono::milliseconds(20 + i % 50));
        q.push("from " + std::to_string(i));
      }
    }));
  }
  for (auto& f : all) f.join();
  const int written = ledger(file).entries();
  std::printf("%d fibers: %d of %d received, %d written\n", 2 * pairs, received.load(), pairs * rounds, written);
  return received == pairs * rounds && written == pairs * rounds;
}

int run(const std::string& socket, int fibers) {
  {
    heartbeat alone;
    baton::this_fiber::sleep_for(300ms);
    print("alone", alone.end());
  }
  const auto file = std::filesystem::temp_directory_path() / ("vendor_calls." + std::to_string(::getpid()) + ".db");
  const auto begin = clock_type::now();
  heartbeat beside;
  bool good = false;
  try {
    good = exchange(socket, file.string(), fibers);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "vendor_calls: %s\n", e.what());
  }
  const auto late = beside.end();
  const double seconds = std::chrono::duration<double>(clock_type::now() - begin).count();
  for (const char* part : {"", "-wal", "-shm"}) std::filesystem::remove(file.string() + part);
  print("beside the vendors", late);
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
  if (argc < 2) {
    std::fprintf(stderr, "usage: vendor_calls <redis socket> [fibers]\n");
    return 2;
  }
  baton::options options;
  options.procs = 1;
  return baton::run([&] { return run(argv[1], argc > 2 ? std::max(2, std::atoi(argv[2])) : 200); }, options);
}
