#include "call.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <sys/syscall.h>
#include <cstdlib>
#include <cstring>

#include <baton/sched/platform/trap.h>

// Weak: a static executable has no next function, and says so instead of crashing.
extern "C" __attribute__((weak)) void* dlsym(void*, const char*) noexcept;
extern "C" __attribute__((weak)) void* dlopen(const char*, int);

extern "C" {
// The linker defines where the section begins and ends.
extern __attribute__((visibility("hidden")))
baton::interpose::next_entry __start_baton_next_functions[];  // NOLINT(*reserved-identifier)
extern __attribute__((visibility("hidden")))
baton::interpose::next_entry __stop_baton_next_functions[];  // NOLINT(*reserved-identifier)
}

namespace baton::interpose {

namespace {

// write() itself may be what has no next function.
void say(const char* text) noexcept {
  static_cast<void>(
      sched::platform::trap3(SYS_write, 2, reinterpret_cast<long>(text), static_cast<long>(std::strlen(text))));
}

// Before main(), so that a signal handler does not come to look a function up. A name that this C library does not have
// stays null: no program can have been linked with it.
__attribute__((constructor(101))) void find_all() noexcept {
  // Another library that wraps a function, too, is gone on to by its function, not by a system call past it.
  void* const libc = dlopen != nullptr ? dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD) : nullptr;
  for (next_entry* e = __start_baton_next_functions; e != __stop_baton_next_functions; ++e) {
    if (e->of_sanitizer != nullptr) {
      e->function.store(e->of_sanitizer, mo::relaxed);
    } else if (dlsym != nullptr) {
      void* const next = dlsym(RTLD_NEXT, e->name);
      e->function.store(next, mo::relaxed);
      e->of_libc.store(libc != nullptr && next != nullptr && next == dlsym(libc, e->name), mo::relaxed);
    }
  }
}

}  // namespace

void* next_entry::find() noexcept {
  void* next = of_sanitizer;
  if (next == nullptr && dlsym != nullptr) next = dlsym(RTLD_NEXT, name);
  if (next == nullptr) {
    say("baton::interpose: this C library has no function ");
    say(name);
    say(" to go on to. A program that is linked statically cannot be used with baton::interpose.\n");
    std::abort();
  }
  function.store(next, mo::relaxed);
  return next;
}

}  // namespace baton::interpose
