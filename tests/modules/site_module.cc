// A module that makes declared calls through its host's baton.
#include <baton/syscall/blocking.h>

#include <ctime>

extern "C" void baton_test_make_calls(int n) {
  for (int i = 0; i < n; ++i) {
    baton::blocking([] {
      const timespec t{0, 200'000};
      ::nanosleep(&t, nullptr);
    });
  }
}
