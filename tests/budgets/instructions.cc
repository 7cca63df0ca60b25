// The operations whose instructions are counted. Each runs once to warm up, and then between two requests to callgrind,
// which sets its counters to zero at the first and writes them to a separate file at the second. There is one P, so
// that nothing depends on which thread is faster. There is no rescue: under callgrind a slice is over after some
// hundred operations, and what a fiber does without a P is not what is counted. tests/budgets/run runs this program.
//
//   budget_instructions [NAME]     prints "NAME operations" for each; NAME: only that one
#include <baton/baton.h>

#include <valgrind/callgrind.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int ops = 4'000;  // of each kind; a multiple of 4

std::string_view only;

// body(n) does n operations.
template <class Body>
void count(const char* name, Body body) {
  if (!only.empty() && only != name) return;
  body(ops);
  CALLGRIND_START_INSTRUMENTATION;
  body(ops);
  CALLGRIND_STOP_INSTRUMENTATION;
  CALLGRIND_DUMP_STATS_AT(name);
  std::printf("%s %d\n", name, ops);
}

// Two fibers that yield in turn.
void yields(int n) {
  const auto half = [n] {
    for (int i = 0; i < n / 2; ++i) baton::this_fiber::yield();
  };
  auto a = baton::spawn(half), b = baton::spawn(half);
  a.join();
  b.join();
}

void spawns_and_joins(int n) {
  for (int i = 0; i < n; ++i) baton::spawn([] {}).join();
}

// Round trips over two channels without a buffer.
void round_trips(int n) {
  const baton::channel<int> there, back;
  auto echo = baton::spawn([&] {
    while (const auto v = there.receive()) back.send(*v);
  });
  for (int i = 0; i < n; ++i) {
    there.send(i);
    static_cast<void>(back.receive());
  }
  there.close();
  echo.join();
}

void buffered_items(int n) {
  const baton::channel<std::int64_t> c(128);
  auto producer = baton::spawn([&] {
    for (int i = 0; i < n; ++i) c.send(i);
  });
  for (int i = 0; i < n; ++i) static_cast<void>(c.receive());
  producer.join();
}

// One consumer over four channels, each with its own producer.
void selects(int n, std::size_t capacity) {
  using numbers = baton::channel<std::int64_t>;
  const std::array<numbers, 4> c{numbers(capacity), numbers(capacity), numbers(capacity), numbers(capacity)};
  std::vector<baton::fiber<void>> producers;
  producers.reserve(c.size());
  for (const numbers& one : c) {
    producers.push_back(baton::spawn([&one, n] {
      for (int i = 0; i < n / 4; ++i) one.send(i);
    }));
  }
  std::int64_t sum = 0;
  const auto add = [&](std::optional<std::int64_t> v) { sum += *v; };
  for (int i = 0; i < n; ++i) {
    baton::select(baton::on_receive(c[0], add), baton::on_receive(c[1], add), baton::on_receive(c[2], add),
                  baton::on_receive(c[3], add));
  }
  for (auto& f : producers) f.join();
}

void enters_and_exits(int n) {
  for (int i = 0; i < n; ++i) {
    baton::enter_syscall();
    baton::exit_syscall();
  }
}

void short_calls(int n) {
  for (int i = 0; i < n; ++i) baton::blocking([] { asm volatile(""); });
}

void locks(int n) {
  baton::mutex lock;
  for (int i = 0; i < n; ++i) {
    const std::lock_guard guard(lock);
    asm volatile("" ::: "memory");
  }
}

void events(int n) {
  baton::event there, back;
  auto other = baton::spawn([&] {
    for (int i = 0; i < n; ++i) {
      there.wait();
      there.reset();
      back.set();
    }
  });
  for (int i = 0; i < n; ++i) {
    there.set();
    back.wait();
    back.reset();
  }
  other.join();
}

void timers(int n) {
  for (int i = 0; i < n; ++i) {
    if (i % 64 == 0) baton::this_fiber::yield();  // otherwise each call finds that its slice is over
    baton::timer t = baton::after_func(std::chrono::hours(1), [] {});
    t.stop();
  }
}

// Both ends of a connection over the loopback are fibers: two reads and two writes per round trip.
void echoes(int n) {
  auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
  auto client = baton::net::dial("127.0.0.1:" + std::to_string(listener->local_address().port()));
  auto server = listener->accept();
  auto echo = baton::spawn([&] {
    std::byte buffer[64];
    while (const auto got = server->read(buffer).value_or(0))
      server->write(baton::const_bytes(buffer, got)).IgnoreError();
  });
  std::byte buffer[64]{};
  for (int i = 0; i < n; ++i) {
    client->write(buffer).IgnoreError();
    static_cast<void>(client->read(buffer));
  }
  client->close();
  echo.join();
}

void count_all() {
  count("yield", yields);
  count("spawn_join", spawns_and_joins);
  count("channel_round_trip", round_trips);
  count("event_round_trip", events);
  count("buffered_item", buffered_items);
  count("select_ready", [](int n) { selects(n, 128); });
  count("select_blocking", [](int n) { selects(n, 0); });
  count("enter_exit", enters_and_exits);
  count("blocking_short", short_calls);
  count("mutex", locks);
  count("timer", timers);
  count("echo", echoes);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) only = argv[1];
  if (RUNNING_ON_VALGRIND == 0) std::fprintf(stderr, "not under valgrind: nothing is counted\n");
  return baton::run(count_all, {.procs = 1, .rescue = false});
}
