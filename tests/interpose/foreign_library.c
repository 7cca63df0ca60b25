#include "foreign_library.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct foreign_source {
  pthread_t thread;
  int events;
  void (*event)(void* arg, int n);
  void* arg;
};

static void* run_source(void* p) {
  const struct foreign_source* const s = p;
  for (int n = 1; n <= s->events; ++n) s->event(s->arg, n);
  return NULL;
}

struct foreign_source* foreign_start(int events, void (*event)(void* arg, int n), void* arg) {
  struct foreign_source* const s = malloc(sizeof *s);
  if (s == NULL) return NULL;
  *s = (struct foreign_source){.events = events, .event = event, .arg = arg};
  if (pthread_create(&s->thread, NULL, run_source, s) == 0) return s;
  free(s);
  return NULL;
}

void foreign_join(struct foreign_source* s) {
  pthread_join(s->thread, NULL);
  free(s);
}

int foreign_visit(int depth, int (*visit)(void* arg, int depth), void* arg) {
  usleep(200);
  const int result = visit(arg, depth);
  usleep(200);
  return result + 1;
}

struct foreign_handle {
  pthread_t owner;
  int uses;
};

struct foreign_handle* foreign_open(void) {
  struct foreign_handle* const h = malloc(sizeof *h);
  if (h != NULL) *h = (struct foreign_handle){.owner = pthread_self()};
  return h;
}

int foreign_use(struct foreign_handle* h) {
  if (!pthread_equal(h->owner, pthread_self())) return -1;
  usleep(200);
  return ++h->uses;
}

void foreign_close(struct foreign_handle* h) { free(h); }
