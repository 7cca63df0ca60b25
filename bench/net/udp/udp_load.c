// Load for a UDP echo server: C sockets, each with one datagram of S bytes under way; when its echo has come back
// unchanged, the next one goes out (closed loop). One thread, epoll.
//
//   udp_load PORT SOCKETS SIZE WARM_UP_S MEASURE_S
//
// Prints what load.h says; a latency is the time from just before a datagram's send to just after its echo was
// received. So few are under way that the kernel has room for all of them, and drops none. If one is lost nevertheless,
// its socket stays silent. Exit code 1 when an echo is wrong.
#define _GNU_SOURCE
#include "../load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct peer {
  int fd;
  uint32_t index;
  uint32_t sequence;  // of the datagram under way
  uint64_t began_ns;
};

// The prime keeps neighbours apart.
static const char* message_of(const struct peer* p) { return pattern + (p->index * 37u + p->sequence) % 251u; }

static void begin_message(struct peer* p) {
  ++p->sequence;
  p->began_ns = now_ns();
  size_t sent = 0;
  send_rest(p->fd, message_of(p), &sent);
}

// There is one datagram at most.
static void receive(void* registered, unsigned events, int measuring) {
  (void)events;
  struct peer* const p = registered;
  const ssize_t n = recv(p->fd, buffer, message_size, MSG_DONTWAIT);
  if (n < 0) {
    if (errno == EINTR || errno == EAGAIN) return;
    die("recv");
  }
  if ((size_t)n != message_size || memcmp(buffer, message_of(p), message_size) != 0) {
    fprintf(stderr, "udp_load: socket %u, datagram %u: the echo differs\n", p->index, p->sequence);
    exit(1);
  }
  count_request(measuring, now_ns() - p->began_ns);
  begin_message(p);
}

int main(int argc, char** argv) {
  const int sockets = prepare(argc, argv, 1400);
  struct peer* all = calloc((size_t)sockets, sizeof *all);
  if (all == NULL) die("calloc");
  for (int i = 0; i < sockets; ++i) {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr*)&server, sizeof server) != 0) die("connect");
    all[i].fd = fd;
    all[i].index = (uint32_t)i;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
  }
  for (int i = 0; i < sockets; ++i) begin_message(&all[i]);
  return drive(receive);
}
