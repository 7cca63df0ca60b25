// vendor_calls, tested against a Redis server of its own.
#include "examples/filter.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace {

using baton_test::filter;

class redis_server {
 public:
  explicit redis_server(const std::string& directory) : socket_(directory + "/redis.sock") {
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
      ::execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket_.c_str(), "--save", "", "--dir",
               directory.c_str(), nullptr);
      ::_exit(127);
    }
  }
  ~redis_server() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  redis_server(const redis_server&) = delete;
  redis_server& operator=(const redis_server&) = delete;

  // Waits until the server takes connections. Returns false if there is no such program.
  bool comes_up() {
    for (;;) {
      const int fd = connect();
      ::close(fd);
      const bool up = fd >= 0;
      if (up) return true;
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return false;
      }
      ::usleep(1000);
    }
  }
  // Sends one command. Returns the answer, as far as it comes at once.
  [[nodiscard]] std::string ask(const std::string& command) const {
    const int fd = connect();
    char answer[4096];
    ssize_t n = ::send(fd, command.data(), command.size(), MSG_NOSIGNAL);
    if (n > 0) n = ::recv(fd, answer, sizeof answer, 0);
    ::close(fd);
    return {answer, static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
  }
  [[nodiscard]] int clients() const {
    const std::string text = ask("INFO clients\r\n");
    const std::string name = "connected_clients:";
    const std::size_t at = text.find(name);
    return at == std::string::npos ? 0 : std::atoi(text.c_str() + at + name.size()) - 1;
  }
  [[nodiscard]] const std::string& socket() const { return socket_; }

 private:
  [[nodiscard]] int connect() const {
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    std::strncpy(a.sun_path, socket_.c_str(), sizeof a.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0) return fd;
    ::close(fd);
    return -1;
  }

  std::string socket_;
  pid_t pid_ = -1;
};

// Starts a server in a directory of its own, or does not if there is no such program.
class VendorCalls : public testing::Test {
 protected:
  void SetUp() override {
    if (::access((std::string(BATON_EXAMPLES_DIR) + "/vendor_calls").c_str(), X_OK) != 0) {
      GTEST_SKIP() << "built without sqlite3 or hiredis";
    }
    char name[] = "/tmp/vendor_calls.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    redis_ = std::make_unique<redis_server>(directory_);
    if (!redis_->comes_up()) GTEST_SKIP() << "no redis-server here";
  }
  void TearDown() override {
    redis_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  // The program keeps its file in this directory, so that the test sees what it leaves there.
  [[nodiscard]] std::function<void()> files_here() const {
    return [this] { ::setenv("TMPDIR", directory_.c_str(), 1); };
  }
  [[nodiscard]] bool left_files() const {
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      if (entry.is_directory()) return true;
    }
    return false;
  }

  std::string directory_;
  std::unique_ptr<redis_server> redis_;
};

TEST_F(VendorCalls, TwoHundredFibersOnOnePAndTheOthersAreUnharmed) {
  filter p("vendor_calls", {redis_->socket(), "200"}, files_here());
  const std::string text = p.rest();
  EXPECT_EQ(p.wait(), 0) << text;
  EXPECT_NE(text.find("200 fibers: 300 of 300 received, 300 written"), std::string::npos) << text;
  EXPECT_FALSE(left_files());
}

TEST_F(VendorCalls, TheSameWithCallsThatAreInterposed) {
  filter p("vendor_calls", {redis_->socket(), "60", "interposed"}, files_here());
  const std::string text = p.rest();
  EXPECT_EQ(p.wait(), 0) << text;
  EXPECT_NE(text.find("60 fibers: 90 of 90 received, 90 written"), std::string::npos) << text;
  EXPECT_NE(text.find("beside the vendors, interposed: "), std::string::npos) << text;
}

// Every connection is cut again and again. Each value is still written down once.
TEST_F(VendorCalls, ConnectionsThatBreakAreMadeAgain) {
  filter p("vendor_calls", {redis_->socket(), "40"}, files_here());
  std::string text;
  std::atomic<bool> over{false};
  std::thread reader([&] {
    text = p.rest();
    over = true;
  });
  int cuts = 0;
  while (!over && cuts < 4) {
    if (redis_->clients() < 20) continue;
    EXPECT_NE(redis_->ask("CLIENT KILL TYPE normal\r\n"), "");
    ++cuts;
  }
  reader.join();
  EXPECT_EQ(p.wait(), 0) << text;
  EXPECT_NE(text.find("40 fibers: 60 of 60 received, 60 written"), std::string::npos) << text;
  EXPECT_GT(cuts, 0);
}

TEST_F(VendorCalls, SaysThatThereIsNoServer) {
  filter p("vendor_calls", {directory_ + "/nobody", "10"}, files_here());
  const std::string text = p.rest();
  EXPECT_EQ(p.wait(), 1);
  EXPECT_NE(text.find("redis: connect " + directory_ + "/nobody: No such file or directory"), std::string::npos)
      << text;
  EXPECT_FALSE(left_files());
}

TEST_F(VendorCalls, SaysThatItsFileCannotBeMade) {
  filter p("vendor_calls", {redis_->socket(), "10"}, [] { ::setenv("TMPDIR", "/proc", 1); });
  const std::string text = p.rest();
  EXPECT_EQ(p.wait(), 1);
  EXPECT_NE(text.find("make the directory /proc/vendor_calls."), std::string::npos) << text;
}

TEST_F(VendorCalls, EndsOnASignalAndLeavesNothing) {
  filter p("vendor_calls", {redis_->socket(), "20"}, files_here());
  while (!left_files()) ::usleep(1000);  // until the program is at work
  p.signal(SIGTERM);
  p.rest();
  EXPECT_EQ(p.wait(), 128 + SIGTERM);
  EXPECT_FALSE(left_files());
}

}  // namespace
