// The example programs as a user runs them: in a process of their own. The tests talk to them over loopback by plain
// blocking sockets.
#pragma once

#include "child_process.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace baton_test {

class program : public child_process {
 public:
  // Starts the program and waits for its line "listening on ADDRESS:PORT" or "listening on PATH".
  program(const std::string& name, std::vector<std::string> args, const std::function<void()>& prepare = {})
      : child_process(name, std::move(args), role::server, prepare) {
    while (text_.find('\n') == std::string::npos && read_more()) {
    }
    if (text_.find("listening on ") == std::string::npos) throw std::runtime_error(name + " did not start: " + text_);
    const std::size_t colon = text_.rfind(':');
    if (colon != std::string::npos) port_ = std::atoi(text_.c_str() + colon + 1);
  }

  // 0 if it listens at a path.
  [[nodiscard]] int port() const { return port_; }
  void terminate() { signal(SIGTERM); }
  // As child_process::wait(). Afterwards text() has what the program printed.
  int wait() {
    while (read_more()) {
    }
    return child_process::wait();
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  int port_ = 0;
};

class client {
 public:
  // receive_buffer is the kernel's, in bytes; 0 leaves it to the kernel.
  explicit client(int port, int receive_buffer = 0) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(static_cast<std::uint16_t>(port));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) {
      throw std::runtime_error(std::string("connect: ") + std::strerror(errno));
    }
  }
  ~client() {
    if (fd_ >= 0) ::close(fd_);
  }
  client(client&& other) noexcept
      : fd_(other.fd_), ended_in_order_(other.ended_in_order_), pending_(std::move(other.pending_)) {
    other.fd_ = -1;
  }
  client& operator=(client&&) = delete;

  void send(const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t n = ::send(fd_, text.data() + done, text.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return;  // the server has closed; what it sent can still be read
      done += static_cast<std::size_t>(n);
    }
  }
  // Returns true if the stream ended in order, false if it was reset.
  [[nodiscard]] bool ended_in_order() const { return ended_in_order_; }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  // Ends the connection with a reset.
  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(fd_);
    fd_ = -1;
  }
  // Returns the next line without its end, or what is left when the stream has ended.
  std::string receive_line() {
    while (pending_.find('\n') == std::string::npos) {
      if (!more()) return std::exchange(pending_, {});
    }
    const std::size_t end = pending_.find('\n');
    std::string line = pending_.substr(0, end);
    pending_.erase(0, end + 1);
    return line;
  }

  struct response {
    int status = 0;  // 0: the connection ended without a response
    std::string header, body;
  };
  response receive(bool head = false) {
    response r;
    std::size_t end;
    while ((end = pending_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return r;
    }
    r.header = pending_.substr(0, end + 4);
    pending_.erase(0, end + 4);
    const std::size_t length_at = r.header.find("Content-Length: ");
    const std::size_t length =
        length_at == std::string::npos || head ? 0 : std::strtoul(r.header.c_str() + length_at + 16, nullptr, 10);
    while (pending_.size() < length) {
      if (!more()) return r;
    }
    r.body = pending_.substr(0, length);
    pending_.erase(0, length);
    r.status = std::atoi(r.header.c_str() + 9);
    return r;
  }
  response get(const std::string& target) {
    send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    return receive();
  }
  // Returns everything until the end of the stream.
  std::string rest() {
    while (more()) {
    }
    return std::move(pending_);
  }
  std::string receive_exactly(std::size_t n) {
    while (pending_.size() < n && more()) {
    }
    std::string out = pending_.substr(0, n);
    pending_.erase(0, n);
    return out;
  }

 private:
  bool more() {
    char buffer[64 * 1024];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n > 0) pending_.append(buffer, static_cast<std::size_t>(n));
    if (n == 0) ended_in_order_ = true;
    return n > 0;
  }

  int fd_;
  bool ended_in_order_ = false;
  std::string pending_;
};

}  // namespace baton_test
