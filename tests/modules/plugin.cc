// A plugin with a baton of its own.
#include <baton/runtime/fiber.h>
#include <baton/runtime/os_signals.h>
#include <baton/runtime/run.h>
#include <baton/runtime/this_fiber.h>
#include <baton/syscall/blocking.h>

#include <unistd.h>
#include <chrono>
#include <vector>

// Leaves the runtime running.
extern "C" int baton_test_plugin_run() {
  return baton::run([] {
    std::vector<baton::fiber<int>> all;
    for (int i = 0; i < 10; ++i) {
      all.push_back(baton::spawn([i] {
        baton::this_fiber::sleep_for(std::chrono::milliseconds(1));
        baton::blocking([] { ::usleep(100); });
        return i;
      }));
    }
    int sum = 0;
    for (auto& f : all) sum += f.join();
    return sum;
  });
}
