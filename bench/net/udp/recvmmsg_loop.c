// The peer that baton's UDP echo server is measured against: one thread and one blocking socket. recvmmsg waits for a
// datagram and takes what else has come, sendmmsg sends all of it back. The headers are made once.
//
//   recvmmsg_loop [port]     prints "port N"; port 0 or none: the kernel chooses one
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { at_once = 64, largest = 2048 };

static void die(const char* what) {
  perror(what);
  exit(1);
}

int main(int argc, char** argv) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  here.sin_port = htons((unsigned short)(argc > 1 ? atoi(argv[1]) : 0));
  socklen_t size = sizeof here;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (bind(fd, (struct sockaddr*)&here, size) != 0) die("bind");
  if (getsockname(fd, (struct sockaddr*)&here, &size) != 0) die("getsockname");
  printf("port %d\n", ntohs(here.sin_port));
  fflush(stdout);

  static char memory[at_once][largest];
  static struct sockaddr_in from[at_once];
  static struct iovec vectors[at_once];
  static struct mmsghdr messages[at_once];
  for (int i = 0; i < at_once; ++i) {
    vectors[i].iov_base = memory[i];
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_name = &from[i];
  }
  int used = at_once;
  for (;;) {
    for (int i = 0; i < used; ++i) {
      vectors[i].iov_len = largest;
      messages[i].msg_hdr.msg_namelen = sizeof from[i];
    }
    used = recvmmsg(fd, messages, at_once, MSG_WAITFORONE, NULL);
    if (used < 0) {
      if (errno != EINTR) die("recvmmsg");
      used = 0;
    }
    for (int i = 0; i < used; ++i) vectors[i].iov_len = messages[i].msg_len;
    for (int sent = 0; sent < used;) {
      const int n = sendmmsg(fd, messages + sent, (unsigned)(used - sent), 0);
      if (n < 0 && errno != EINTR) die("sendmmsg");
      if (n > 0) sent += n;
    }
  }
}
