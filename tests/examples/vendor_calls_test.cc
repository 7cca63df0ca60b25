// vendor_calls against a Redis server of its own.
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

namespace {

class redis_server {
 public:
  explicit redis_server(const std::string& directory) : socket_(directory + "/redis.sock") {
    pid_ = ::fork();
    if (pid_ == 0) {
      ::freopen("/dev/null", "w", stdout);
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

  // Waits until it takes connections. False: there is no such program.
  bool comes_up() {
    for (;;) {
      sockaddr_un a{};
      a.sun_family = AF_UNIX;
      std::strncpy(a.sun_path, socket_.c_str(), sizeof a.sun_path - 1);
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const bool up = ::connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0;
      ::close(fd);
      if (up) return true;
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return false;
      }
      ::usleep(1000);
    }
  }
  [[nodiscard]] const std::string& socket() const { return socket_; }

 private:
  std::string socket_;
  pid_t pid_ = -1;
};

TEST(VendorCalls, TwoHundredFibersOnOnePAndTheOthersAreUnharmed) {
  const std::string program = std::string(BATON_EXAMPLES_DIR) + "/vendor_calls";
  if (::access(program.c_str(), X_OK) != 0) GTEST_SKIP() << "built without sqlite3 or hiredis";
  char name[] = "/tmp/vendor_calls.XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  {
    redis_server redis(name);
    if (!redis.comes_up()) GTEST_SKIP() << "no redis-server here";
    std::FILE* const out = ::popen((program + " " + redis.socket() + " 200 2>&1").c_str(), "r");
    ASSERT_NE(out, nullptr);
    std::string text;
    for (char line[256]; std::fgets(line, sizeof line, out) != nullptr;) text += line;
    const int status = ::pclose(out);
    EXPECT_EQ(status, 0) << text;
    EXPECT_NE(text.find("200 fibers: 300 of 300 received, 300 written"), std::string::npos) << text;
  }
  std::filesystem::remove_all(name);
}

}  // namespace
