// The operations whose system calls are counted. Each runs once to warm up, and then between two calls of access(2)
// with names that strace's log shows. There is one P. tests/budgets/run runs this program.
//
//   budget_system_calls            all but echo, one after another; prints "NAME operations" for each
//   budget_system_calls echo C N   prints "port P"; then C connections send and get back N messages each
#include <baton/baton.h>

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

void mark(const char* which, const char* name) {
  const std::string path = std::string("budget:") + which + ":" + name;
  static_cast<void>(::access(path.c_str(), F_OK));
}

// body(n) does n operations.
template <class Body>
void count(const char* name, int ops, Body body) {
  body(ops);
  mark("begin", name);
  body(ops);
  mark("end", name);
  std::printf("%s %d\n", name, ops);
}

void block(std::chrono::nanoseconds length) {
  const timespec t{0, static_cast<long>(length.count())};
  ::nanosleep(&t, nullptr);
}

// Calls that block while other fibers want to run.
template <class Call>
void calls_beside_others(int n, Call call) {
  bool done = false;
  std::vector<baton::fiber<void>> others;
  for (int i = 0; i < 10; ++i) {
    others.push_back(baton::spawn([&] {
      while (!done) baton::this_fiber::yield();
    }));
  }
  for (int i = 0; i < n; ++i) call();
  done = true;
  for (auto& f : others) f.join();
}

void count_all() {
  count("spawn_yield_join", 1'000, [](int n) {
    for (int i = 0; i < n; ++i) baton::spawn([] { baton::this_fiber::yield(); }).join();
  });
  count("short_call", 1'000, [](int n) {
    for (int i = 0; i < n; ++i) baton::blocking([] { ::syscall(SYS_getpid); });
  });
  count("learnt_call", 50, [](int n) { calls_beside_others(n, [] { baton::blocking([] { block(2ms); }); }); });
  count("hinted_call", 50,
        [](int n) { calls_beside_others(n, [] { baton::blocking(baton::will_block, [] { block(2ms); }); }); });
  count("sleep", 200, [](int n) {
    for (int i = 0; i < n; ++i) baton::this_fiber::sleep_for(1ms);
  });
  count("idle_second", 1, [](int) { baton::this_fiber::sleep_for(1s); });
}

// The echo server of the README. The first half of the messages warms up.
void echo(baton::net::tcp_stream peer, int messages, baton::wait_group& warm, baton::wait_group& end) {
  std::byte buffer[1024];
  for (int i = 0;; ++i) {
    if (i == messages / 2) {
      warm.done();
      warm.wait();
    }
    const auto n = peer.read(buffer);
    if (!n.ok() || *n == 0) break;
    if (!peer.write(baton::const_bytes(buffer, *n)).ok()) break;
    if (i == messages - 1) end.done();
  }
}

int serve(int connections, int messages) {
  auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
  if (!listener.ok()) return 1;
  std::printf("port %d\n", listener->local_address().port());
  std::fflush(stdout);
  baton::wait_group warm, end;
  warm.add(connections);
  end.add(connections);
  std::vector<baton::fiber<void>> fibers;
  for (int i = 0; i < connections; ++i) {
    auto peer = listener->accept();
    if (!peer.ok()) return 1;
    fibers.push_back(baton::spawn([&, p = std::move(*peer)]() mutable { echo(std::move(p), messages, warm, end); }));
  }
  const std::string name = "echo_" + std::to_string(connections);
  warm.wait();
  mark("begin", name.c_str());
  end.wait();
  mark("end", name.c_str());
  std::printf("%s %d\n", name.c_str(), messages / 2 * connections);
  std::fflush(stdout);  // only now do the clients close
  for (auto& f : fibers) f.join();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "echo") {
    return baton::run([&] { return serve(std::atoi(argv[2]), std::atoi(argv[3])); }, {.procs = 1});
  }
  return baton::run(count_all, {.procs = 1});
}
