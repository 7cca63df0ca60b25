// What the wrappers of baton::interpose cost and bring (rows as pairs.h says). The program is linked with them. What
// stands beside them are libc's own functions, looked up in libc.
//
//   interposed_read        read() of one byte of /dev/zero, in a fiber; extra_ns is the price
//   interposed_recv        recv() of one byte that is there, with MSG_PEEK, in a fiber
//   interposed_mutex       pthread_mutex_lock() and unlock() of a free mutex, in a fiber
//   interposed_plain_read  read() as above on a plain thread
//   interposed_lateness    200 fibers on one P ask a server again and again, by send() and recv() on blocking sockets.
//                          It answers after 2 to 20 ms. The time is how late a fiber is, at p99, that sleeps 1 ms
//                          again and again. Beside it the same where the calls are libc's own, and so not declared
#include "pairs.h"

#include <baton/baton.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kernel_ops = 2'000;  // short blocks: the kernel's own time drifts
constexpr std::int64_t plain_ops = 50'000;

// The functions without their wrappers.
template <class F>
F* of_libc(const char* name) {
  static void* const libc = ::dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  void* const function = libc != nullptr ? ::dlsym(libc, name) : nullptr;
  if (function == nullptr) std::abort();
  return reinterpret_cast<F*>(function);
}

template <class F>
double timed(std::int64_t ops, F f) {
  const auto begin = bench::clock_type::now();
  for (std::int64_t i = 0; i < ops; ++i) f();
  return bench::seconds_since(begin);
}

using read_function = ssize_t(int, void*, std::size_t);
using recv_function = ssize_t(int, void*, std::size_t, int);
using send_function = ssize_t(int, const void*, std::size_t, int);
using lock_function = int(pthread_mutex_t*);

double reads(read_function* read) {
  static const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  char c = 0;
  return timed(kernel_ops, [&] {
    if (read(zero, &c, 1) != 1) std::abort();
  });
}

void interposed_read(benchmark::State& state) {
  bench::run_pairs(
      state, 1, kernel_ops, [] { return reads(::read); }, [] { return reads(of_libc<read_function>("read")); });
}

double on_a_plain_thread(read_function* read) {
  double took = 0;
  std::thread([&] { took = reads(read); }).join();
  return took;
}

void interposed_plain_read(benchmark::State& state) {
  bench::run_pairs(
      state, 1, kernel_ops, [] { return on_a_plain_thread(::read); },
      [] { return on_a_plain_thread(of_libc<read_function>("read")); });
}

double peeks(recv_function* recv) {
  static const std::array<int, 2> pair = [] {
    std::array<int, 2> fds{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) std::abort();
    if (::send(fds[1], "b", 1, MSG_NOSIGNAL) != 1) std::abort();
    return fds;
  }();
  char c = 0;
  return timed(kernel_ops, [&] {
    if (recv(pair[0], &c, 1, MSG_PEEK) != 1) std::abort();
  });
}

void interposed_recv(benchmark::State& state) {
  bench::run_pairs(
      state, 1, kernel_ops, [] { return peeks(::recv); }, [] { return peeks(of_libc<recv_function>("recv")); });
}

double locks(lock_function* lock) {
  pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
  return timed(plain_ops, [&] {
    lock(&m);
    ::pthread_mutex_unlock(&m);
  });
}

void interposed_mutex(benchmark::State& state) {
  bench::run_pairs(
      state, 1, plain_ops, [] { return locks(::pthread_mutex_lock); },
      [] { return locks(of_libc<lock_function>("pthread_mutex_lock")); });
}

// Answers each byte after a while, which differs from byte to byte. Runs on a thread of its own.
class slow_server {
 public:
  explicit slow_server(int clients) {
    for (int i = 0; i < clients; ++i) {
      std::array<int, 2> pair{};
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) std::abort();
      clients_.push_back(pair[0]);
      servers_.push_back({pair[1], POLLIN, 0});
    }
    thread_ = std::thread([this] { serve(); });
  }
  ~slow_server() {
    stop_ = true;
    thread_.join();
    for (const int fd : clients_) ::close(fd);
    for (const auto& s : servers_) ::close(s.fd);
  }
  slow_server(const slow_server&) = delete;
  slow_server& operator=(const slow_server&) = delete;
  [[nodiscard]] int socket(int client) const { return clients_[static_cast<std::size_t>(client)]; }

 private:
  void serve() {
    std::vector<std::pair<bench::clock_type::time_point, int>> due;
    unsigned mixed = 1;
    while (!stop_) {
      ::poll(servers_.data(), servers_.size(), 1);
      const auto now = bench::clock_type::now();
      for (const auto& s : servers_) {
        char c = 0;
        if ((s.revents & POLLIN) == 0 || ::recv(s.fd, &c, 1, 0) != 1) continue;
        mixed = mixed * 1'664'525 + 1'013'904'223;
        due.emplace_back(now + std::chrono::milliseconds(2 + (mixed >> 16) % 19), s.fd);
      }
      std::erase_if(
          due, [now](const auto& one) { return one.first <= now && ::send(one.second, "b", 1, MSG_NOSIGNAL) == 1; });
    }
  }

  std::vector<int> clients_;
  std::vector<::pollfd> servers_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Returns the p99 in seconds.
double lateness(send_function* send, recv_function* recv) {
  constexpr int clients = 200;
  constexpr int questions = 20;
  const slow_server server(clients);
  std::vector<double> late;
  std::atomic<int> under_way{clients};
  baton::run([&] {
    std::vector<baton::fiber<void>> asking;
    for (int i = 0; i < clients; ++i) {
      asking.push_back(baton::spawn([&, fd = server.socket(i)] {
        char c = 0;
        for (int k = 0; k < questions; ++k) {
          if (send(fd, "b", 1, MSG_NOSIGNAL) != 1 || recv(fd, &c, 1, 0) != 1) std::abort();
        }
        --under_way;
      }));
    }
    while (under_way > 0) {
      const auto due = bench::clock_type::now() + 1ms;
      baton::this_fiber::sleep_until(due);
      late.push_back(bench::seconds_since(due));
    }
    for (auto& f : asking) f.join();
  });
  std::sort(late.begin(), late.end());
  return late.empty() ? 0 : late[late.size() * 99 / 100];
}

void interposed_lateness(benchmark::State& state) {
  baton::run([] {}, {.procs = 1});
  baton::set_procs(1);
  const double bare = lateness(of_libc<send_function>("send"), of_libc<recv_function>("recv"));
  std::vector<double> with;
  for (auto _ : state) {
    const auto begin = bench::clock_type::now();
    with.push_back(lateness(::send, ::recv));
    state.SetIterationTime(bench::seconds_since(begin));
  }
  const double p99 = bench::median_of(with);
  state.counters["baton_ns"] = p99 * 1e9;
  state.counters["bare_ns"] = bare * 1e9;
  state.counters["ratio"] = p99 / bare;
  state.counters["extra_ns"] = (p99 - bare) * 1e9;
}

const bench::row rows[] = {
    {.benchmark = "interposed_read",
     .run = interposed_read,
     .args = {1},
     .name = "interposed read",
     .primitive = {"libc's read"},
     .target = bench::at_most_extra_ns(12)},
    {.benchmark = "interposed_recv",
     .run = interposed_recv,
     .args = {1},
     .name = "interposed recv",
     .primitive = {"libc's recv"},
     .target = bench::at_most_extra_ns(12)},
    {.benchmark = "interposed_mutex",
     .run = interposed_mutex,
     .args = {1},
     .name = "interposed mutex, free",
     .primitive = {"libc's mutex"},
     .target = bench::at_most_extra_ns(12)},
    {.benchmark = "interposed_plain_read",
     .run = interposed_plain_read,
     .args = {1},
     .name = "interposed read, plain thread",
     .primitive = {"libc's read"},
     .target = bench::at_most_extra_ns(2)},
    {.benchmark = "interposed_lateness",
     .run = interposed_lateness,
     .args = {1},
     .name = "200 in interposed calls: late p99",
     .primitive = {"undeclared calls"},
     .target = bench::at_most_ns(5'000'000).shown_as("<= 5 ms")},
};
const bench::pairs measured("syscall", rows);

}  // namespace
