#include "held_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace baton_test {

struct held_server::connection {
  connection(int socket, std::unique_ptr<protocol> its) : fd(socket), side(std::move(its)) {}
  ~connection() { ::close(fd); }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  // The answers are short: the socket has room for them.
  void send(const std::string& plain) const {
    const std::string bytes = side->to_socket(plain);
    if (!bytes.empty()) static_cast<void>(!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }

  const int fd;
  const std::unique_ptr<protocol> side;
  std::string in;
  std::string held;
  bool over = false;
};

held_server::held_server(int to_hold, std::function<std::unique_ptr<protocol>()> make)
    : to_hold_(to_hold), make_(std::move(make)) {
  open(SOCK_STREAM);
}

held_server::held_server(int to_hold, std::function<std::string(const std::string&)> reply)
    : to_hold_(to_hold), reply_(std::move(reply)) {
  open(SOCK_DGRAM);
}

void held_server::open(int type) {
  ::sockaddr_in a{};
  ::socklen_t size = sizeof a;
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const address = reinterpret_cast<::sockaddr*>(&a);
  fd_ = ::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (::bind(fd_, address, size) != 0 || (type == SOCK_STREAM && ::listen(fd_, 1024) != 0) ||
      ::getsockname(fd_, address, &size) != 0 || ::pipe2(wake_, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw std::runtime_error("the test's server does not start");
  }
  int room = 1 << 20;
  if (type == SOCK_DGRAM) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  port_ = ntohs(a.sin_port);
  thread_ = std::thread([this] { serve(); });
}

held_server::~held_server() {
  stop_ = true;
  static_cast<void>(!::write(wake_[1], "", 1));
  thread_.join();
  for (const int fd : {fd_, wake_[0], wake_[1]}) ::close(fd);
}

void held_server::release() {
  released_ = true;
  static_cast<void>(!::write(wake_[1], "", 1));
}

void held_server::serve() {
  while (!stop_) {
    std::vector<::pollfd> fds{{wake_[0], POLLIN, 0}, {fd_, POLLIN, 0}};
    for (const auto& c : connections_) fds.push_back({c->over ? -1 : c->fd, POLLIN, 0});
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
    char c = 0;
    while (::read(wake_[0], &c, 1) == 1) {
    }
    if (released_) {
      for (const auto& each : connections_) each->send(std::exchange(each->held, {}));
      for (const auto& each : std::exchange(held_datagrams_, {})) each();
    }
    for (std::size_t i = 2; i < fds.size(); ++i) {
      if (fds[i].revents != 0) read(*connections_[i - 2]);
    }
    if (make_) take_connections();
    if (reply_) take_datagrams();
  }
}

void held_server::take_connections() {
  for (;;) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connections_.push_back(std::make_unique<connection>(fd, make_()));
    connections_.back()->send(connections_.back()->side->greeting());
  }
}

void held_server::hold() {
  if (++held_ == to_hold_) all_held_.set();
}

void held_server::read(connection& c) {
  char buffer[16384];
  ssize_t n = 0;
  while ((n = ::recv(c.fd, buffer, sizeof buffer, 0)) > 0) {
    c.in += c.side->from_socket({buffer, static_cast<std::size_t>(n)});
  }
  if (n == 0 || (errno != EAGAIN && errno != EINTR)) c.over = true;
  for (;;) {
    const std::size_t before = c.in.size();
    bool held = false;
    const std::string text = c.side->answer(c.in, held);
    if (held && !released_) {
      c.held = text;
      hold();
    } else {
      c.send(text);
    }
    if (c.in.empty() || c.in.size() == before) return;
  }
}

void held_server::take_datagrams() {
  for (;;) {
    char buffer[1024];
    ::sockaddr_in peer{};
    ::socklen_t size = sizeof peer;
    const ssize_t n = ::recvfrom(fd_, buffer, sizeof buffer, 0, reinterpret_cast<::sockaddr*>(&peer), &size);
    if (n < 0) return;
    const auto send = [this, peer, size, text = reply_({buffer, static_cast<std::size_t>(n)})] {
      static_cast<void>(!::sendto(fd_, text.data(), text.size(), 0, reinterpret_cast<const ::sockaddr*>(&peer), size));
    };
    if (released_) {
      send();
    } else {
      held_datagrams_.push_back(send);
      hold();
    }
  }
}

}  // namespace baton_test
