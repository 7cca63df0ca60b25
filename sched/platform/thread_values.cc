// A pthread key holds the pointer. The function for its end is registered like a thread_local's destructor, for two
// reasons: exit() does not run the destructors of pthread keys, and the users' objects that were built earlier must
// still exist when it runs. The key also has a destructor. It serves a pointer that the destructors of other keys make
// when the thread_locals are gone already. For such a pointer glibc loses the 32 bytes of the registration, as it does
// for a thread_local.
#include <baton/sched/platform/thread_values.h>

#include <cxxabi.h>
#include <pthread.h>
#include <new>

// The shared object that this code is in. It stays loaded until its threads' destructors have run.
extern "C" __attribute__((visibility("hidden"))) void* __dso_handle;

namespace baton::sched::platform {

namespace {

struct thread_values {
  void* pointer;
  thread_values_end end;
};

// get() returns null if no value is set. set() returns false if the value cannot be set.
thread_values* get() noexcept;
bool set(thread_values* v) noexcept;

void end_now(thread_values* v) noexcept {
  v->end(&v->pointer);
  static_cast<void>(set(nullptr));
  delete v;
}

void at_key_end(void* v) {
  if (set(static_cast<thread_values*>(v))) end_now(static_cast<thread_values*>(v));  // the key holds null by now
}

// If the main thread calls pthread_exit, this function runs at exit, after the key's destructor, and finds nothing.
void at_thread_end(void*) {
  if (thread_values* const v = get()) end_now(v);
}

struct key {
  pthread_key_t value = 0;
  bool exists = ::pthread_key_create(&value, &at_key_end) == 0;
};

const key& the_key() noexcept {
  static const key k;
  return k;
}

thread_values* get() noexcept {
  const key& k = the_key();
  return k.exists ? static_cast<thread_values*>(::pthread_getspecific(k.value)) : nullptr;
}

bool set(thread_values* v) noexcept {
  const key& k = the_key();
  return k.exists && ::pthread_setspecific(k.value, v) == 0;
}

}  // namespace

void** values_of_thread() noexcept {
  thread_values* const v = get();
  return v != nullptr ? &v->pointer : nullptr;
}

void** make_values_of_thread(thread_values_end end) noexcept {
  auto* const v = new (std::nothrow) thread_values{nullptr, end};
  if (v == nullptr) return nullptr;
  if (!set(v)) {
    delete v;
    return nullptr;
  }
  abi::__cxa_thread_atexit(&at_thread_end, nullptr, &__dso_handle);
  return &v->pointer;
}

}  // namespace baton::sched::platform
