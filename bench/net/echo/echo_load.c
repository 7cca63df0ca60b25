// Load for an echo server: C connections, each with one message of S bytes under way; when its echo has
// come back complete and unchanged, the next one goes out (closed loop). One thread, epoll.
//
//   echo_load PORT CONNECTIONS SIZE WARM_UP_S MEASURE_S
//
// Prints what load.h says; a latency is the time from just before a message's send to just after its last byte was
// read. The payload differs from message to message and from connection to connection. Exit code 1 when an echo is
// wrong or a connection breaks.
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

enum { size_max = 1 << 20, events_max = 512 };

struct connection {
  int fd;
  uint32_t index;
  uint32_t sequence;  // of the message under way
  size_t sent, received;
  uint64_t began_ns;
};

static size_t message_size;
static char* pattern;  // a message is message_size bytes of it, from an offset on
static char* buffer;

// The prime keeps neighbours apart.
static const char* message_of(const struct connection* c) { return pattern + (c->index * 37u + c->sequence) % 251u; }

static void send_rest(struct connection* c) {
  while (c->sent < message_size) {
    const ssize_t n = send(c->fd, message_of(c) + c->sent, message_size - c->sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      die("send");
    }
    c->sent += (size_t)n;
  }
}

static void begin_message(struct connection* c) {
  ++c->sequence;
  c->sent = c->received = 0;
  c->began_ns = now_ns();
  send_rest(c);
}

// Reads what there is. Edge-triggered: a read shorter than asked for, or one that completes the message
// (there is no other under way), leaves nothing behind.
static void receive(struct connection* c, int measuring) {
  send_rest(c);
  while (c->received < message_size) {
    const size_t wanted = message_size - c->received;
    const ssize_t n = recv(c->fd, buffer, wanted, 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      die("recv");
    }
    if (n == 0) {
      fprintf(stderr, "echo_load: the server closed a connection\n");
      exit(1);
    }
    if (memcmp(buffer, message_of(c) + c->received, (size_t)n) != 0) {
      fprintf(stderr, "echo_load: connection %u, message %u: the echo differs\n", c->index, c->sequence);
      exit(1);
    }
    c->received += (size_t)n;
    if (c->received < message_size) {
      if ((size_t)n < wanted) return;
      continue;
    }
    count_request(measuring, now_ns() - c->began_ns);
    begin_message(c);
    return;
  }
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fprintf(stderr, "echo_load PORT CONNECTIONS SIZE WARM_UP_S MEASURE_S\n");
    return 2;
  }
  const int connections = atoi(argv[2]);
  message_size = (size_t)atol(argv[3]);
  const double warm_up_s = atof(argv[4]), measure_s = atof(argv[5]);
  if (connections < 1 || message_size < 1 || message_size > size_max) {
    fprintf(stderr, "echo_load: at least one connection; 1 to %d bytes\n", size_max);
    return 2;
  }
  pattern = make_pattern(message_size);
  buffer = allocate(message_size);

  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll_create1");
  struct connection* all = calloc((size_t)connections, sizeof *all);
  if (all == NULL) die("calloc");
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  address.sin_port = htons((unsigned short)atoi(argv[1]));
  for (int i = 0; i < connections; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr*)&address, sizeof address) != 0) die("connect");
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    all[i].fd = fd;
    all[i].index = (uint32_t)i;
    all[i].received = message_size;  // none under way
    // Non-blocking only now: connecting may wait.
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) die("fcntl");
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = &all[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
  }

  for (int i = 0; i < connections; ++i) begin_message(&all[i]);
  const uint64_t begin = now_ns() + (uint64_t)(warm_up_s * 1e9);
  const uint64_t end = begin + (uint64_t)(measure_s * 1e9);
  uint64_t began = 0, now = now_ns();
  static struct epoll_event events[events_max];
  while (now < end) {
    const int n = epoll_wait(epoll, events, events_max, 100);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    now = now_ns();
    if (began == 0 && now >= begin) began = now;
    for (int i = 0; i < n; ++i) receive(events[i].data.ptr, began != 0);
  }
  return report(began);
}
