// Load that makes a connection for each request: connect, send S bytes, read their echo, close. K of them are
// under way at any time; when one is closed, the next one begins. One thread, epoll.
//
//   churn_load PORT IN_FLIGHT SIZE WARM_UP_S MEASURE_S
//
// Prints what load.h says; a latency is the time from just before socket() to just after close(). The client closes
// first, so its end keeps the port for a minute (TIME_WAIT): each connection comes from the next of 127.0.0.1 to
// 127.0.0.250, which makes seven million ports. Exit code 1 when an echo is wrong or a connection breaks.
#define _GNU_SOURCE
#include "../load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { sources = 250 };

struct connection {
  int fd;
  int connected;
  uint32_t sequence;
  size_t sent, received;
  uint64_t began_ns;
};

static uint32_t connections_begun;

static const char* message_of(const struct connection* c) { return pattern + c->sequence % 251u; }

static void open_connection(struct connection* c) {
  c->began_ns = now_ns();
  c->sequence = ++connections_begun;
  c->connected = 0;
  c->sent = c->received = 0;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  // The kernel chooses the port when it knows both ends.
  const int on = 1;
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  struct sockaddr_in from = {.sin_family = AF_INET};
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + c->sequence % sources);
  if (bind(c->fd, (struct sockaddr*)&from, sizeof from) != 0) die("bind");
  if (connect(c->fd, (struct sockaddr*)&server, sizeof server) != 0 && errno != EINPROGRESS) die("connect");
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) die("epoll_ctl");
}

// One step of a connection, as far as it goes. 1: its echo is complete.
static int advance(struct connection* c, unsigned events) {
  if (!c->connected) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) die("getsockopt");
    if (error != 0) {
      errno = error;
      die("connect");
    }
    if ((events & EPOLLOUT) == 0) return 0;
    c->connected = 1;
  }
  send_rest(c->fd, message_of(c), &c->sent);
  while ((events & EPOLLIN) != 0 && c->received < message_size) {
    const ssize_t n = recv(c->fd, buffer, message_size - c->received, 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      die("recv");
    }
    if (n == 0 || memcmp(buffer, message_of(c) + c->received, (size_t)n) != 0) {
      fprintf(stderr, "churn_load: connection %u: %s\n", c->sequence, n == 0 ? "no echo" : "the echo differs");
      exit(1);
    }
    c->received += (size_t)n;
  }
  return c->received == message_size;
}

static void step(void* registered, unsigned events, int measuring) {
  struct connection* const c = registered;
  if (!advance(c, events)) return;
  close(c->fd);
  count_request(measuring, now_ns() - c->began_ns);
  open_connection(c);
}

int main(int argc, char** argv) {
  const int in_flight = prepare(argc, argv, 64 * 1024);
  struct connection* all = calloc((size_t)in_flight, sizeof *all);
  if (all == NULL) die("calloc");
  for (int i = 0; i < in_flight; ++i) open_connection(&all[i]);
  return drive(step);
}
