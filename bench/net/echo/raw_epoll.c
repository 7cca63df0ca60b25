// The peer that a runtime's echo server is measured against: one thread, one epoll set, non-blocking
// sockets, nothing else. Written as one would write it for speed:
//
//   - edge-triggered, one registration for a connection's life: no epoll_ctl per request;
//   - no accept per event when the backlog is empty: accept4 until EAGAIN, with SOCK_NONBLOCK;
//   - after a read that came back shorter than the buffer there is no second, vain read: the next byte
//     makes an edge of its own;
//   - a reply is written at once; only what the socket does not take is kept, and waits for EPOLLOUT,
//     which is registered from the start (an edge for it comes once, at the beginning).
//
//   raw_epoll [port]     prints "port N"; port 0 or none: the kernel chooses one
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { buffer_size = 16 * 1024, events_max = 512 };

struct connection {
  int fd;
  size_t begin, end;  // of what waits to be written; empty: begin == end
  char data[buffer_size];
};

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void drop(struct connection* c) {
  close(c->fd);  // leaves the epoll set with it
  free(c);
}

// Writes what waits. 1: all of it, 0: the socket is full, -1: the connection is over.
static int flush(struct connection* c) {
  while (c->begin < c->end) {
    const ssize_t n = send(c->fd, c->data + c->begin, c->end - c->begin, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? 0 : -1;
    }
    c->begin += (size_t)n;
  }
  c->begin = c->end = 0;
  return 1;
}

// Until there is nothing to read, or nothing more can be written. What ends the connection (end of
// stream, an error) is found out by reading, so nothing that came before it is lost.
static void serve(struct connection* c, unsigned events) {
  int all_written = flush(c);
  while (all_written == 1) {
    const ssize_t n = recv(c->fd, c->data, buffer_size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      drop(c);
      return;
    }
    c->end = (size_t)n;
    all_written = flush(c);
    // A short read emptied the socket. With the end of the stream announced there is more to be seen.
    if (n < buffer_size && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) break;
  }
  if (all_written < 0) drop(c);
}

static void accept_all(int epoll, int listener) {
  for (;;) {
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      die("accept4");
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection* c = malloc(sizeof *c);
    if (c == NULL) die("malloc");
    c->fd = fd;
    c->begin = c->end = 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
  }
}

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) die("socket");
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  address.sin_port = htons((unsigned short)(argc > 1 ? atoi(argv[1]) : 0));
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0) die("bind");
  if (listen(listener, 4096) != 0) die("listen");
  socklen_t length = sizeof address;
  if (getsockname(listener, (struct sockaddr*)&address, &length) != 0) die("getsockname");

  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll_create1");
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) die("epoll_ctl");
  printf("port %d\n", ntohs(address.sin_port));
  fflush(stdout);

  static struct epoll_event events[events_max];
  for (;;) {
    const int n = epoll_wait(epoll, events, events_max, -1);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; ++i) {
      if (events[i].data.ptr == NULL) {
        accept_all(epoll, listener);
      } else {
        serve(events[i].data.ptr, events[i].events);
      }
    }
  }
}
