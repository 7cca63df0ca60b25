// Files on a mount whose server does not answer: few threads wait for it, and nothing else waits.
#include "held_mount.h"

#include <baton/netpoll/dial.h>
#include <baton/netpoll/tcp_listener.h>
#include <baton/runtime/detail/file_gate.h>
#include <baton/runtime/detail/file_open.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/file.h>
#include <baton/runtime/file_lock.h>
#include <baton/runtime/io.h>
#include <baton/runtime/mapping.h>
#include <baton/runtime/run.h>
#include <baton/runtime/stats.h>
#include <baton/runtime/this_fiber.h>
#include <syscall/temporary_directory.h>

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace {

using baton::file;
using baton::test::held_mount;

constexpr int calls = 48;
constexpr baton::options few_threads{.max_threads = 64};
constexpr std::uint64_t room = 16;  // a quarter of these

// Runs f in a process of its own with such a mount. f returns 0, or the number of what is wrong.
void on_a_mount(const std::function<int(held_mount&)>& f) {
  ::alarm(60);
  held_mount mount(calls);
  if (!mount.works()) _exit(77);
  _exit(baton::run([&] { return f(mount); }, few_threads));
}

bool right_or_skipped(int status) {
  return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
}

baton::detail::device_gates& gates_of(const std::string& path) {
  struct ::stat about {};
  EXPECT_EQ(0, ::stat(path.c_str(), &about));
  return baton::detail::gates_of(about.st_dev);
}

// Files of another device work as before.
bool others_work() {
  const temporary_directory dir;
  return baton::write_file(dir / "f", "x").ok() && baton::read_file(dir / "f").value() == "x";
}

// Starts one call for each file, which the server keeps. Returns 0 if only as many as have room wait for it.
int only_few_wait(held_mount& mount, std::uint32_t opcode, baton::blocking_gate& gate, std::uint64_t without_gate,
                  const std::function<bool(int)>& call) {
  mount.hold(opcode);
  std::vector<baton::fiber<bool>> fibers;
  for (int i = 0; i < calls; ++i) fibers.push_back(baton::spawn([&, i] { return call(i); }));
  while (gate.stats().inside != room || gate.stats().waiting != calls - room - without_gate) {
    baton::this_fiber::yield();
  }
  while (mount.waiting() != static_cast<int>(room + without_gate)) baton::this_fiber::yield();
  const bool fine = others_work();
  mount.release();
  int wrong = fine ? 0 : 1;
  for (auto& f : fibers) wrong += f.join() ? 0 : 2;
  return wrong;
}

class HungMountDeathTest : public testing::Test {
 protected:
  HungMountDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// The paths are in memory, but the server is asked for the open itself.
TEST_F(HungMountDeathTest, Opens) {
  EXPECT_EXIT(on_a_mount([](held_mount& mount) {
                constexpr std::uint64_t at_once = 8;  // an eighth of the threads: these pass no gate
                return only_few_wait(mount, FUSE_OPEN, gates_of(mount.path(0)).threads, at_once,
                                     [&](int i) { return file::open(mount.path(i)).ok(); });
              }),
              right_or_skipped, "");
}

TEST_F(HungMountDeathTest, AnOpenDoesNotAskForTheAttributes) {
  EXPECT_EXIT(on_a_mount([](held_mount& mount) {
                mount.hold(FUSE_GETATTR);
                const bool opened = file::open(mount.path(0)).ok();
                const int number = ::open(mount.path(1).c_str(), O_RDONLY | O_CLOEXEC);
                const bool adopted = file::adopt(number, "adopted").ok();
                return opened && adopted ? 0 : 1;
              }),
              right_or_skipped, "");
}

TEST_F(HungMountDeathTest, Reads) {
  EXPECT_EXIT(on_a_mount([](held_mount& mount) {
                std::vector<file> files;
                for (int i = 0; i < calls; ++i) files.push_back(file::open(mount.path(i)).value());
                return only_few_wait(mount, FUSE_READ, gates_of(mount.path(0)).threads, 0, [&](int i) {
                  char text[4096];
                  const auto n = files[static_cast<std::size_t>(i)].read(text);
                  return n.ok() && *n == sizeof text && text[17] == 'x';
                });
              }),
              right_or_skipped, "");
}

TEST_F(HungMountDeathTest, CopiesToStreams) {
  EXPECT_EXIT(on_a_mount([](held_mount& mount) {
                auto listener = baton::net::tcp_listener::bind("127.0.0.1:0").value();
                const std::string address = listener.local_address().to_string();
                std::vector<baton::net::tcp_stream> to;
                std::vector<baton::net::tcp_stream> ends;
                for (int i = 0; i < calls; ++i) {
                  to.push_back(baton::net::dial(address).value());
                  ends.push_back(listener.accept().value());
                }
                return only_few_wait(mount, FUSE_READ, gates_of(mount.path(0)).threads, 0, [&](int i) {
                  file from = file::open(mount.path(i)).value();
                  const auto n = baton::copy(to[static_cast<std::size_t>(i)], from);
                  return n.ok() && *n == held_mount::file_size;
                });
              }),
              right_or_skipped, "");
}

// A close that writes back may wait. Other calls have a gate of their own.
TEST_F(HungMountDeathTest, Closes) {
  EXPECT_EXIT(on_a_mount([](held_mount& mount) {
                std::vector<file> files;
                for (int i = 0; i < calls; ++i) files.push_back(file::open(mount.path(i)).value());
                const file other = file::open(mount.path(0)).value();
                return only_few_wait(mount, FUSE_FLUSH, gates_of(mount.path(0)).closes, 0, [&](int i) {
                  const bool answers = i > 0 || other.stat().ok();
                  return answers && files[static_cast<std::size_t>(i)].close().ok();
                });
              }),
              right_or_skipped, "");
}

TEST_F(HungMountDeathTest, ReleasesOfLocks) {
  EXPECT_EXIT(on_a_mount([](held_mount& mount) {
                std::vector<baton::file_lock> locks;
                for (int i = 0; i < calls; ++i) locks.push_back(baton::file_lock::acquire(mount.path(i)).value());
                return only_few_wait(mount, FUSE_FLUSH, gates_of(mount.path(0)).closes, 0, [&](int i) {
                  baton::file_lock& lock = locks[static_cast<std::size_t>(i)];
                  lock.release();
                  return !lock.holds();
                });
              }),
              right_or_skipped, "");
}

TEST_F(HungMountDeathTest, MappingsThatAreSynced) {
  EXPECT_EXIT(on_a_mount([](held_mount& mount) {
                std::vector<baton::mapping> maps;
                for (int i = 0; i < calls; ++i) {
                  const file f = file::open(mount.path(i), O_RDWR).value();
                  maps.push_back(baton::mapping::map(f, held_mount::file_size, PROT_READ, MAP_SHARED).value());
                }
                return only_few_wait(mount, FUSE_FSYNC, gates_of(mount.path(0)).threads, 0,
                                     [&](int i) { return maps[static_cast<std::size_t>(i)].sync().ok(); });
              }),
              right_or_skipped, "");
}

TEST_F(HungMountDeathTest, ItsRootBelongsToIt) {
  EXPECT_EXIT(on_a_mount([](held_mount& mount) {
                using baton::detail::gate_of_parent;
                using baton::detail::gate_of_path;
                const bool of_target = &gate_of_path(mount.root()) == &gate_of_path(mount.path(0)) &&
                                       &gate_of_parent(mount.path(0)) == &gate_of_path(mount.root() + "/nothing");
                const bool of_parent = &gate_of_parent(mount.root()) == &gate_of_path("/tmp");
                return of_target && of_parent ? 0 : 1;
              }),
              right_or_skipped, "");
}

}  // namespace
