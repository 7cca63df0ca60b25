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

struct connection {
  int fd;
  uint32_t index;
  uint32_t sequence;  // of the message under way
  size_t sent, received;
  uint64_t began_ns;
};

// The prime keeps neighbours apart.
static const char* message_of(const struct connection* c) { return pattern + (c->index * 37u + c->sequence) % 251u; }

static void begin_message(struct connection* c) {
  ++c->sequence;
  c->sent = c->received = 0;
  c->began_ns = now_ns();
  send_rest(c->fd, message_of(c), &c->sent);
}

// Reads what there is. Edge-triggered: a read shorter than asked for, or one that completes the message
// (there is no other under way), leaves nothing behind.
static void receive(void* registered, unsigned events, int measuring) {
  (void)events;
  struct connection* const c = registered;
  send_rest(c->fd, message_of(c), &c->sent);
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
  const int connections = prepare(argc, argv, 1 << 20);
  struct connection* all = calloc((size_t)connections, sizeof *all);
  if (all == NULL) die("calloc");
  for (int i = 0; i < connections; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr*)&server, sizeof server) != 0) die("connect");
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
  return drive(receive);
}
