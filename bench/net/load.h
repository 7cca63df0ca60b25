// What the load generators share: a clock, the messages, and what they print.
//
// Messages are parts of one pattern, so that each differs from its neighbours. Percentiles are exact: every
// latency is kept and sorted. Reported is one JSON object: requests while measuring, per second, in all (those of
// the warm-up among them), and percentiles of the latencies.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { pattern_extra = 256 };

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
static char* make_pattern(size_t message_size) {
  char* const pattern = allocate(message_size + pattern_extra);
  uint32_t random = 12345;
  for (size_t i = 0; i < message_size + pattern_extra; ++i) {
    random = random * 1664525u + 1013904223u;
    pattern[i] = (char)(random >> 24);
  }
  return pattern;
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
