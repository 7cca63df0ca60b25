/* A library in C that knows nothing of baton. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Starts a thread of the library's own, which calls event(arg, n) for n = 1 to `events`. Returns what
 * foreign_join() takes, or NULL. */
struct foreign_source;
struct foreign_source* foreign_start(int events, void (*event)(void* arg, int n), void* arg);
void foreign_join(struct foreign_source* source);

/* Sleeps a little, calls visit(arg, depth), sleeps again, and returns what visit() returned plus 1. */
int foreign_visit(int depth, int (*visit)(void* arg, int depth), void* arg);

/* A handle that belongs to the thread that made it. foreign_use() returns the number of its uses, or -1 on another
 * thread. */
struct foreign_handle;
struct foreign_handle* foreign_open(void);
int foreign_use(struct foreign_handle* handle);
void foreign_close(struct foreign_handle* handle);

#ifdef __cplusplus
}
#endif
