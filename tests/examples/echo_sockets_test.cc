// udp_echo and unix_echo, tested from outside by plain blocking sockets.
#include "examples/program.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace {

using baton_test::program;

// A socket that gives up after 20 s.
int patient_socket(int family, int type) {
  const int fd = ::socket(family, type | SOCK_CLOEXEC, 0);
  const timeval patience{20, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

class udp_client {
 public:
  explicit udp_client(int port, const char* host = "127.0.0.1") : fd_(patient_socket(AF_INET, SOCK_DGRAM)) {
    to_.sin_family = AF_INET;
    to_.sin_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET, host, &to_.sin_addr);
  }
  ~udp_client() { ::close(fd_); }
  udp_client(const udp_client&) = delete;
  udp_client& operator=(const udp_client&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  ssize_t send(const std::string& text) {
    return ::sendto(fd_, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to_), sizeof to_);
  }
  // Returns "nothing" if nothing comes.
  std::string receive() {
    char buffer[4096];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    return n < 0 ? "nothing" : std::string(buffer, static_cast<std::size_t>(n));
  }

 private:
  const int fd_;
  sockaddr_in to_{};
};

TEST(UdpEcho, SendsEachDatagramBackToItsSender) {
  program server("udp_echo", {"127.0.0.1:0"});
  udp_client a(server.port());
  udp_client b(server.port());
  ASSERT_EQ(a.send("from a"), 6);
  ASSERT_EQ(b.send("from b"), 6);
  EXPECT_EQ(a.receive(), "from a");
  EXPECT_EQ(b.receive(), "from b");
  ASSERT_EQ(a.send(""), 0);
  EXPECT_EQ(a.receive(), "");
  a.send(std::string(3000, 'x'));  // too large: dropped
  a.send("next");
  EXPECT_EQ(a.receive(), "next");
  std::set<std::string> sent, got;
  for (int i = 0; i < 100; ++i) {
    sent.insert(std::to_string(i));
    a.send(std::to_string(i));
  }
  for (int i = 0; i < 100; ++i) got.insert(a.receive());
  EXPECT_EQ(got, sent);
  {
    udp_client vanishes(server.port());
    vanishes.send("no receiver for the answer");
  }
  a.send("still there");
  EXPECT_EQ(a.receive(), "still there");
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
}

TEST(UdpEcho, AnswersAGroup) {
  program server("udp_echo", {":0", "239.4.5.6", "lo"});
  udp_client c(server.port(), "239.4.5.6");
  const ip_mreqn loopback{{}, {}, 1};
  ASSERT_EQ(::setsockopt(c.fd(), IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback), 0);
  ASSERT_EQ(c.send("to the group"), 12);
  EXPECT_EQ(c.receive(), "to the group");
  server.signal(SIGINT);
  EXPECT_EQ(server.wait(), 0);
}

class UnixEcho : public testing::Test {
 protected:
  void TearDown() override { ::unlink(path_.c_str()); }

  int connect() const {
    const int fd = patient_socket(AF_UNIX, SOCK_STREAM);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    path_.copy(to.sun_path, sizeof to.sun_path - 1);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) ADD_FAILURE() << std::strerror(errno);
    return fd;
  }
  static std::string read(int fd, std::size_t n) {
    std::string text(n, '\0');
    const ssize_t got = ::recv(fd, text.data(), n, MSG_WAITALL);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }
  static void send_with_fd(int fd, const std::string& text, int passed) {
    iovec vector{const_cast<char*>(text.data()), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof passed)] = {};
    msghdr m{};
    m.msg_iov = &vector;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    cmsghdr* const c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof passed);
    std::memcpy(CMSG_DATA(c), &passed, sizeof passed);
    EXPECT_EQ(::sendmsg(fd, &m, 0), static_cast<ssize_t>(text.size()));
  }

  const std::string path_ = "/tmp/baton-unix-echo." + std::to_string(::getpid());
};

TEST_F(UnixEcho, EchoesAndRemovesItsFile) {
  program server("unix_echo", {path_});
  struct stat found {};
  ASSERT_EQ(::lstat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U & 0777U);
  const int a = connect();
  const int b = connect();
  const std::string text(100'000, 'e');
  ASSERT_EQ(::send(a, text.data(), 1000, 0), 1000);
  ASSERT_EQ(::send(b, "b", 1, 0), 1);
  EXPECT_EQ(read(a, 1000), text.substr(0, 1000));
  EXPECT_EQ(read(b, 1), "b");
  ::close(a);
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
  EXPECT_NE(server.text().find("process " + std::to_string(::getpid()) + " of user"), std::string::npos);
  EXPECT_NE(::lstat(path_.c_str(), &found), 0);
  ::close(b);
}

TEST_F(UnixEcho, WritesToADescriptorThatAClientPasses) {
  program server("unix_echo", {path_});
  const int a = connect();
  int ends[2];
  ASSERT_EQ(::pipe2(&ends[0], O_CLOEXEC), 0);
  send_with_fd(a, "into the pipe", ends[1]);
  ::close(ends[1]);
  std::string got(100, '\0');
  std::size_t size = 0;
  for (ssize_t n; (n = ::read(ends[0], got.data() + size, got.size() - size)) > 0;) size += static_cast<std::size_t>(n);
  EXPECT_EQ(got.substr(0, size), "into the pipe");  // and the end: the server has closed it
  ::close(ends[0]);
  ASSERT_EQ(::send(a, "back", 4, 0), 4);
  EXPECT_EQ(read(a, 4), "back");
  // What cannot be written to ends that connection only.
  const int unwritable = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  send_with_fd(a, "x", unwritable);
  EXPECT_EQ(read(a, 1), "");
  ::close(unwritable);
  ::close(a);
  const int b = connect();
  ASSERT_EQ(::send(b, "b", 1, 0), 1);
  EXPECT_EQ(read(b, 1), "b");
  ::close(b);
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
}

// A server that was killed leaves its file; the next one replaces it, but not that of a server that runs.
TEST_F(UnixEcho, ReplacesTheFileOfAKilledServer) {
  {
    program killed("unix_echo", {path_});
    killed.signal(SIGKILL);
    EXPECT_EQ(killed.wait(), 1000 + SIGKILL);
  }
  program server("unix_echo", {path_});
  EXPECT_THROW(program("unix_echo", {path_}), std::runtime_error);
  const int a = connect();
  ASSERT_EQ(::send(a, "a", 1, 0), 1);
  EXPECT_EQ(read(a, 1), "a");
  ::close(a);
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
}

}  // namespace
