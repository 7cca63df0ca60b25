// Threads that end: their places in the table, and which thread waits for which.
#include <baton/sched/machine_table.h>
#include <baton/sched/thread_lock.h>

#include <gtest/gtest.h>

#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "sched/on_fiber.h"
#include "sched/own_process.h"

namespace {

using namespace baton::sched;
using baton_test::on_fiber;

class MachineTableDeathTest : public baton_test::own_process_test {};

struct never_ends {
  bool used = false;
  ~never_ends() {
    while (used) ::pause();
  }
};
thread_local never_ends stuck;

TEST_F(MachineTableDeathTest, AThreadThatNeverEndsKeepsNoOtherPlace) {
  EXPECT_EXIT(
      {
        baton_test::start_without_rescue(2);
        constexpr std::uint32_t stuck_threads = 3;
        for (std::uint32_t i = 0; i < 400; ++i) {
          on_fiber([i] {
            lock_thread();
            stuck.used = i < stuck_threads;
          });
        }
        std::_Exit(machine_count() < 100 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "^$");
}

TEST_F(MachineTableDeathTest, WhenAllPlacesAreTakenThatIsSaid) {
  EXPECT_EXIT(
      {
        for (std::uint32_t i = 0; i < machines_max; ++i) {
          int error = 0;
          if (allocate_machine(&error) == nullptr) std::_Exit(1);
        }
        int error = 0;
        if (allocate_machine(&error) != nullptr || error != EAGAIN) std::_Exit(2);
        if (machine_count() != machines_max) std::_Exit(3);
        take_machine_back(machine_at(17));
        std::_Exit(allocate_machine(&error) == machine_at(17) ? 0 : 4);
      },
      testing::ExitedWithCode(0), "^$");
}

}  // namespace
