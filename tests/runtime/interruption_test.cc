// Signals interrupt the threads that run fibers anywhere, also in the runtime's own code. Nothing is lost.
#include <baton/netpoll/net.h>
#include <baton/runtime/channel.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/mutex.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/sched/platform/atomic.h>  // BATON_TSAN
#include <baton/syscall/blocking.h>
#include <baton/syscall/calls.h>

#include <gtest/gtest.h>

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

// While it lives, every other thread of the process gets a signal again and again.
class storm {
 public:
  // `flags` is for sigaction.
  explicit storm(int flags) {
    struct sigaction action {};
    action.sa_handler = [](int) { handled.fetch_add(1, std::memory_order_relaxed); };
    action.sa_flags = flags;
    ::sigaction(SIGUSR2, &action, &before_);
    thread_ = std::thread([this] { run(); });
  }
  ~storm() {
    over_ = true;
    thread_.join();
    ::sigaction(SIGUSR2, &before_, nullptr);
  }
  storm(const storm&) = delete;
  storm& operator=(const storm&) = delete;

  static inline std::atomic<long> handled{0};

 private:
  void run() const {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGUSR2);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    const pid_t self = ::getpid();
    while (!over_) {
      DIR* const tasks = ::opendir("/proc/self/task");
      if (tasks == nullptr) return;
      while (const dirent* const d = ::readdir(tasks)) {
        const int tid = std::atoi(d->d_name);
        if (tid > 0) ::syscall(SYS_tgkill, self, tid, SIGUSR2);
      }
      ::closedir(tasks);
      std::this_thread::sleep_for(50us);
    }
  }

  std::atomic<bool> over_{false};
  struct sigaction before_ {};
  std::thread thread_;
};

void relay(int rounds) {
  const baton::channel<int> there;
  const baton::channel<int> back(1);
  auto other = baton::spawn([=] {
    while (const auto n = there.receive()) back.send(*n + 1);
  });
  for (int i = 0; i < rounds; ++i) {
    there.send(i);
    EXPECT_EQ(i + 1, back.receive());
  }
  there.close();
  other.join();
}

void echo(int rounds) {
  auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
  ASSERT_TRUE(listener.ok());
  auto server = baton::spawn([&] {
    auto peer = listener->accept();
    ASSERT_TRUE(peer.ok());
    std::array<std::byte, 100> text;
    for (;;) {
      const auto n = peer->read_full(text);
      ASSERT_TRUE(n.ok()) << n.status();
      if (*n == 0) return;
      const auto written = peer->write(text);
      ASSERT_TRUE(written.ok()) << written.status();
    }
  });
  auto stream = baton::net::dial(listener->local_address().to_string());
  ASSERT_TRUE(stream.ok()) << stream.status();
  for (int i = 0; i < rounds; ++i) {
    std::array<std::byte, 100> text{std::byte(i)};
    ASSERT_TRUE(stream->write(text).ok());
    std::array<std::byte, 100> same{};
    ASSERT_TRUE(stream->read_full(same).ok());
    EXPECT_EQ(text, same);
  }
  stream->close();
  server.join();
}

void calls_and_sleeps(int rounds) {
  for (int i = 0; i < rounds; ++i) {
    baton::this_fiber::sleep_for(300us);
    EXPECT_TRUE(baton::sys::nanosleep(100us));
    baton::blocking([] { static_cast<void>(::usleep(50)); });
  }
}

void everything() {
  baton::run([] {
    baton::mutex lock;
    long counted = 0;
    std::vector<baton::fiber<void>> all;
    for (int i = 0; i < 4; ++i) {
      all.push_back(baton::spawn([] { relay(500); }));
      all.push_back(baton::spawn([] { echo(100); }));
      all.push_back(baton::spawn([] { calls_and_sleeps(50); }));
      all.push_back(baton::spawn([&] {
        for (int k = 0; k < 200; ++k) {
          baton::spawn([&] {
            const std::lock_guard hold(lock);
            ++counted;
          }).join();
        }
      }));
    }
    for (auto& f : all) f.join();
    EXPECT_EQ(4 * 200, counted);
  });
}

class Interruption : public testing::TestWithParam<int> {};

TEST_P(Interruption, DisturbsNothing) {
#if BATON_TSAN
  GTEST_SKIP()
      << "the sanitizer takes the number of a descriptor that is used again for a race, and aborts in its report";
#endif
  const long before = storm::handled;
  {
    const storm s(GetParam());
    while (storm::handled < before + 200) everything();
  }
}

INSTANTIATE_TEST_SUITE_P(flags, Interruption, testing::Values(0, SA_RESTART, SA_ONSTACK));

}  // namespace
