// What the load generators share: what they are told, a clock, the messages, the loop, and what they print.
//
// Messages are parts of one pattern, so that each differs from its neighbours. Percentiles are exact: every
// latency is kept and sorted. Reported is one JSON object: requests while measuring, per second, in all (those of
// the warm-up among them), and percentiles of the latencies.
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { pattern_extra = 256, events_max = 512 };

static struct sockaddr_in server;
static size_t message_size;
static char* pattern;  // a message is message_size bytes of it, from an offset on
static char* buffer;
static int epoll;
static double warm_up_s, measure_s;

static uint64_t requests_in_all;
static uint32_t* latencies;  // ns, while measuring
static size_t latency_count, latency_capacity;

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void* allocate(size_t bytes) {
  void* const p = malloc(bytes);
  if (p == NULL) die("malloc");
  return p;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Longer than a message by pattern_extra bytes: a message may begin at any offset below that.
static void make_pattern(void) {
  pattern = allocate(message_size + pattern_extra);
  uint32_t random = 12345;
  for (size_t i = 0; i < message_size + pattern_extra; ++i) {
    random = random * 1664525u + 1013904223u;
    pattern[i] = (char)(random >> 24);
  }
}

static void count_request(int measuring, uint64_t latency_ns) {
  ++requests_in_all;
  if (!measuring) return;
  if (latency_count == latency_capacity) {
    latency_capacity = latency_capacity != 0 ? latency_capacity * 2 : 1 << 18;
    latencies = realloc(latencies, latency_capacity * sizeof *latencies);
    if (latencies == NULL) die("realloc");
  }
  latencies[latency_count++] = latency_ns < UINT32_MAX ? (uint32_t)latency_ns : UINT32_MAX;
}

static int ascending(const void* a, const void* b) {
  const uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return (x > y) - (x < y);
}

// Nearest rank, in microseconds.
static double percentile(double p) {
  size_t rank = (size_t)(p / 100 * (double)latency_count + 0.999999);
  if (rank > latency_count) rank = latency_count;
  return latencies[rank == 0 ? 0 : rank - 1] / 1e3;
}

// Returns the process's exit code. began_ns: when measuring began, or 0.
static int report(uint64_t began_ns) {
  const double seconds = (double)(now_ns() - began_ns) / 1e9;
  if (began_ns == 0 || latency_count == 0) {
    fprintf(stderr, "no request was answered\n");
    return 1;
  }
  qsort(latencies, latency_count, sizeof *latencies, ascending);
  printf(
      "{\"requests_per_s\": %.0f, \"requests\": %zu, \"requests_in_all\": %llu, \"seconds\": %.3f, "
      "\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
      (double)latency_count / seconds, latency_count, (unsigned long long)requests_in_all, seconds, percentile(50),
      percentile(90), percentile(99), percentile(100));
  return 0;
}

// Of the command line PORT AT_ONCE SIZE WARM_UP_S MEASURE_S. Returns how many at once; or the process ends.
static int prepare(int argc, char** argv, size_t size_max) {
  if (argc != 6) {
    fprintf(stderr, "%s PORT AT_ONCE SIZE WARM_UP_S MEASURE_S\n", argv[0]);
    exit(2);
  }
  const int at_once = atoi(argv[2]);
  message_size = (size_t)atol(argv[3]);
  warm_up_s = atof(argv[4]);
  measure_s = atof(argv[5]);
  if (at_once < 1 || message_size < 1 || message_size > size_max) {
    fprintf(stderr, "%s: at least one at once; 1 to %zu bytes\n", argv[0], size_max);
    exit(2);
  }
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  server.sin_port = htons((unsigned short)atoi(argv[1]));
  make_pattern();
  buffer = allocate(message_size);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll_create1");
  return at_once;
}

// What of a message the socket takes.
static void send_rest(int fd, const char* message, size_t* sent) {
  while (*sent < message_size) {
    const ssize_t n = send(fd, message + *sent, message_size - *sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      die("send");
    }
    *sent += (size_t)n;
  }
}

// Warms up and measures; step() is called for each event with what was registered for it. Returns what report() does.
static int drive(void (*step)(void* registered, unsigned events, int measuring)) {
  const uint64_t begin = now_ns() + (uint64_t)(warm_up_s * 1e9);
  const uint64_t end = begin + (uint64_t)(measure_s * 1e9);
  uint64_t began = 0, now = now_ns();
  static struct epoll_event events[events_max];
  while (now < end) {
    const int n = epoll_wait(epoll, events, events_max, 100);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    now = now_ns();
    if (began == 0 && now >= begin) began = now;
    for (int i = 0; i < n; ++i) step(events[i].data.ptr, events[i].events, began != 0);
  }
  return report(began);
}
