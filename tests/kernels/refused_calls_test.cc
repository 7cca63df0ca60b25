// Calls of newer kernels, and calls that sandboxes forbid: where one of them is refused, the code that uses it goes on
// without it. Each test is a child that asks the test about each such call (seccomp's notifications), so the test also
// knows that the call was made.
#include "syscall/temporary_directory.h"
#include "system_call_filter.h"

#include <baton/baton.h>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton::file;
using baton_test::filtered_call;

// ---- in the child ----

void check(bool so, const char* what) {
  if (so) return;
  std::fprintf(stderr, "not so: %s\n", what);
  ::_exit(1);
}
#define CHECK(condition) check(condition, #condition)

template <class F>
void run_with(F f, const baton::options& o = {}) {
  CHECK(baton::run([&] { f(); }, o) == 0);
}

constexpr std::size_t page = 4096;
constexpr std::size_t pages = 64;

std::string numbered_pages() {
  std::string text(pages * page, '\0');
  for (std::size_t i = 0; i < pages; ++i) std::memset(text.data() + i * page, static_cast<int>(i + 1), page);
  return text;
}

__attribute__((noinline)) int touches(int depth) {
  volatile char frame[2000] = {};
  frame[0] = 1;
  if (depth == 0) {
    baton::this_fiber::yield();
    return frame[0];
  }
  return touches(depth - 1) + frame[0];
}

void fibers_run() {
  run_with([] {
    std::vector<baton::fiber<int>> all;
    for (int i = 0; i < 200; ++i) all.push_back(baton::spawn([] { return touches(20); }));
    for (auto& f : all) CHECK(f.join() == 21);
    std::vector<baton::fiber<void>> blocked;
    for (int i = 0; i < 4; ++i) blocked.push_back(baton::spawn([] { baton::blocking([] { ::usleep(2000); }); }));
    for (auto& f : blocked) f.join();
  });
  CHECK(baton::shutdown().ok());
}

void guards_are_pages() {
  fibers_run();
  CHECK(std::strcmp(baton::stats().guard, "mprotect") == 0);
}

void fences_are_full() {
  fibers_run();
  CHECK(std::strcmp(baton::stats().barrier, "fence") == 0);
}

void procs_are_counted() {
  ::unsetenv("BATON_PROCS");
  run_with([] { CHECK(baton::procs() >= 1); });
}

void fibers_sleep() {
  run_with([] {
    const auto begin = std::chrono::steady_clock::now();
    baton::this_fiber::sleep_for(1500us);
    CHECK(std::chrono::steady_clock::now() - begin >= 1500us);
    auto ends = baton::make_pipe();
    CHECK(ends.ok());
    auto writer = baton::spawn([&] {
      baton::this_fiber::sleep_for(3ms);
      CHECK(ends->writer.write("x").ok());
    });
    char c = 0;
    CHECK(ends->reader.read(baton::bytes(&c, 1)).value() == 1);
  });
}

void children_come_and_go() {
  run_with([] {
    auto good = baton::command("sh", {"-c", "exit 3"}).start();
    CHECK(good.ok());
    CHECK(good->wait()->code() == 3);
    CHECK(baton::errno_of(good->kill(SIGTERM)) == ESRCH);
    auto killed = baton::command("sleep", {"1000"}).process_group().start();
    CHECK(killed.ok());
    CHECK(killed->kill(0).ok());
    CHECK(killed->kill(SIGTERM).ok());
    CHECK(killed->wait()->signal() == SIGTERM);
    auto group = baton::command("sleep", {"1000"}).process_group().start();
    CHECK(group.ok());
    CHECK(group->kill_group(SIGKILL).ok());
    CHECK(group->wait()->signal() == SIGKILL);
    for (int i = 0; i < 50; ++i) CHECK(::open("/dev/null", O_RDONLY) >= 0);  // not close-on-exec
    // The last one is that of the directory.
    CHECK(baton::command("ls", {"/proc/self/fd"}).output().value() == "0\n1\n2\n3\n");
  });
}

void files_are_opened() {
  const temporary_directory dir;
  run_with([&] {
    const std::string path = dir / "f";
    CHECK(baton::write_file(path, "text").ok());
    CHECK(baton::read_file(path).value() == "text");
    for (const char* const text : {"one", "two"}) {
      CHECK(baton::write_file_atomically(path, text).ok());
      CHECK(baton::read_file(path).value() == text);
    }
    CHECK(baton::read_directory(dir.path())->size() == 1);
    CHECK(baton::errno_of(file::open(dir / "none").status()) == ENOENT);
  });
}

void drop_from_memory(const std::string& path) {
  const baton::sys::owned_fd f(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  CHECK(::fsync(f.get()) == 0);
  CHECK(::posix_fadvise(f.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
  CHECK(::posix_fadvise(f.get(), 0, 0, POSIX_FADV_RANDOM) == 0);
}

// Many fibers at once, each with a page.
void read_and_check(file& f) {
  std::vector<baton::fiber<void>> all;
  for (std::size_t i = 0; i < pages; ++i) {
    all.push_back(baton::spawn([&f, i] {
      const std::unique_ptr<char, decltype(&std::free)> at(static_cast<char*>(std::aligned_alloc(page, page)),
                                                           &std::free);
      for (int k = 0; k < 3; ++k) {
        CHECK(f.read_at(baton::bytes(at.get(), page), static_cast<off_t>(i * page)).value() == page);
        CHECK(at.get()[0] == static_cast<char>(i + 1) && at.get()[page - 1] == static_cast<char>(i + 1));
      }
    }));
  }
  for (auto& one : all) one.join();
}

void the_device_is_read_and_written() {
  const temporary_directory dir;
  run_with([&] {
    const std::string path = dir / "f";
    const std::string text = numbered_pages();
    CHECK(baton::write_file(path, text).ok());
    drop_from_memory(path);
    file in_memory = file::open(path).value();
    read_and_check(in_memory);
    drop_from_memory(path);
    CHECK(baton::read_file(path).value() == text);
    auto direct = file::open(path, O_RDWR | O_DIRECT);
    if (!direct.ok()) return;  // this file system has no such thing
    for (int k = 0; k < 3; ++k) {
      const std::unique_ptr<char, decltype(&std::free)> at(static_cast<char*>(std::aligned_alloc(page, page)),
                                                           &std::free);
      std::memset(at.get(), 1, page);
      CHECK(direct->write_at(baton::const_bytes(at.get(), page), 0).ok());
    }
    read_and_check(*direct);
  });
}

// From a file to a file, from a file to a pipe, from a pipe to a file, from a file to a TCP stream.
void copies_are_complete() {
  const temporary_directory dir;
  run_with([&] {
    const std::string text = numbered_pages();
    CHECK(baton::write_file(dir / "from", text).ok());
    file from = file::open(dir / "from").value();
    file to = file::open(dir / "to", O_WRONLY | O_CREAT, 0600).value();
    CHECK(baton::copy(to, from).value() == text.size());
    CHECK(baton::read_file(dir / "to").value() == text);

    int ends[2];
    CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    file in = file::adopt(ends[0], "in").value();
    file out = file::adopt(ends[1], "out").value();
    file again = file::open(dir / "from").value();
    auto feeder = baton::spawn([&] {
      CHECK(baton::copy(out, again).value() == text.size());
      CHECK(out.close().ok());
    });
    file third = file::open(dir / "third", O_WRONLY | O_CREAT, 0600).value();
    CHECK(baton::copy(third, in).value() == text.size());
    feeder.join();
    CHECK(baton::read_file(dir / "third").value() == text);

    auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
    CHECK(listener.ok());
    auto server = baton::spawn([&] {
      auto stream = listener->accept();
      CHECK(stream.ok());
      file f = file::open(dir / "from").value();
      CHECK(baton::copy(*stream, f).value() == text.size());
    });
    auto client = baton::net::dial(listener->local_address().to_string());
    CHECK(client.ok());
    CHECK(baton::read_all(*client, 2 * text.size()).value() == text);
    server.join();
  });
}

__attribute__((noinline)) void sleeps_undeclared() {
  ::usleep(30'000);
  asm volatile("" ::: "memory");
}

// Reports name the call, and perhaps no frames.
void reports_are_made() {
  baton::options o;
  o.strict_blocking = true;
  run_with(
      [] {
        while (baton::stats().strict_reports == 0) sleeps_undeclared();
        baton::event never;
        auto waits = baton::spawn([&] { never.wait(); });
        baton::this_fiber::yield();
        const baton::sys::owned_fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
        baton::dump_fibers(null.get());
        never.set();
      },
      o);
}

// ---- the table ----

enum class made : std::uint8_t { always, perhaps };  // perhaps: it depends on the C library or the file system

struct row {
  const char* name;
  std::vector<filtered_call> calls;
  std::vector<int> errors;
  void (*use)();
  made is_made = made::always;
};

constexpr int wait_by_pidfd = 3;               // P_PIDFD
constexpr int guard_install = 102;             // MADV_GUARD_INSTALL
constexpr std::uint32_t set_vma = 0x53564d41;  // PR_SET_VMA

const row rows[] = {
    {"close_range", {{SYS_close_range}}, {ENOSYS, EPERM}, children_come_and_go},
    {"clone_with_a_pidfd", {{SYS_clone, 0, CLONE_PIDFD, CLONE_PIDFD}}, {ENOSYS, EPERM, EINVAL}, children_come_and_go},
    {"pidfd_open", {{SYS_pidfd_open}, {SYS_clone, 0, CLONE_PIDFD, CLONE_PIDFD}}, {ENOSYS, EPERM}, children_come_and_go},
    {"pidfd_send_signal", {{SYS_pidfd_send_signal}}, {ENOSYS, EPERM}, children_come_and_go},
    {"waitid_of_a_pidfd", {{SYS_waitid, 0, wait_by_pidfd}}, {ENOSYS, EPERM, EINVAL}, children_come_and_go},
    {"setting_the_timer_slack", {{SYS_prctl, 0, PR_SET_TIMERSLACK}}, {EPERM, EINVAL}, children_come_and_go},
    {"reading_the_timer_slack", {{SYS_prctl, 0, PR_GET_TIMERSLACK}}, {EPERM, EINVAL}, children_come_and_go},
    // EPERM is not among these: glibc takes it for the answer, and starts no thread. rseq is not among these calls:
    // glibc asks for it in the first thread, and ends a process whose other threads are refused.
    {"clone3", {{SYS_clone3}}, {ENOSYS}, fibers_run, made::perhaps},
    {"membarrier", {{SYS_membarrier}}, {ENOSYS, EPERM, EINVAL}, fences_are_full},
    {"guard_regions",
     {{SYS_madvise, 2, guard_install}, {SYS_process_madvise}},
     {ENOSYS, EPERM, EINVAL},
     guards_are_pages},
    {"process_madvise", {{SYS_process_madvise}}, {ENOSYS, EPERM, EINVAL}, fibers_run},
    {"naming_memory", {{SYS_prctl, 0, set_vma}}, {EPERM, EINVAL}, fibers_run},
    {"sched_getaffinity", {{SYS_sched_getaffinity}}, {ENOSYS, EPERM}, procs_are_counted},
    {"process_vm_readv", {{SYS_process_vm_readv}}, {ENOSYS, EPERM}, reports_are_made},
    {"epoll_pwait2", {{SYS_epoll_pwait2}}, {ENOSYS, EPERM, EINVAL}, fibers_sleep},
    {"openat2", {{SYS_openat2}}, {ENOSYS, EPERM, EINVAL, EAGAIN}, files_are_opened},
    {"statx", {{SYS_statx}}, {ENOSYS, EPERM}, files_are_opened},
    {"getrandom", {{SYS_getrandom}}, {ENOSYS, EPERM, EAGAIN}, files_are_opened},
    {"reads_that_do_not_wait",
     {{SYS_preadv2, 5, RWF_NOWAIT, RWF_NOWAIT}},
     {ENOSYS, EPERM, EINVAL, EOPNOTSUPP, EAGAIN},
     the_device_is_read_and_written},
    {"writes_that_do_not_wait",
     {{SYS_pwritev2, 5, RWF_NOWAIT, RWF_NOWAIT}},
     {ENOSYS, EPERM, EINVAL, EOPNOTSUPP, EAGAIN},
     the_device_is_read_and_written,
     made::perhaps},
    {"io_uring_setup", {{SYS_io_uring_setup}}, {ENOSYS, EPERM, ENOMEM}, the_device_is_read_and_written, made::perhaps},
    {"io_uring_enter", {{SYS_io_uring_enter}}, {ENOSYS, EPERM}, the_device_is_read_and_written, made::perhaps},
    {"io_uring_register", {{SYS_io_uring_register}}, {ENOSYS, EPERM}, the_device_is_read_and_written, made::perhaps},
    {"copy_file_range", {{SYS_copy_file_range}}, {ENOSYS, EPERM, EXDEV, EINVAL, EOPNOTSUPP}, copies_are_complete},
    {"sendfile", {{SYS_sendfile}}, {ENOSYS, EPERM, EINVAL}, copies_are_complete},
    {"splice", {{SYS_splice}}, {ENOSYS, EPERM, EINVAL}, copies_are_complete},
    {"all_copies_in_the_kernel",
     {{SYS_copy_file_range}, {SYS_sendfile}, {SYS_splice}},
     {ENOSYS, EPERM},
     copies_are_complete},
};

// ---- in the test ----

struct refusal {
  const row* of;
  int error;
};

std::vector<refusal> refusals() {
  std::vector<refusal> all;
  for (const row& r : rows) {
    for (const int error : r.errors) all.push_back({&r, error});
  }
  return all;
}

std::string name_of(const testing::TestParamInfo<refusal>& info) {
  return std::string(info.param.of->name) + "_" + std::string(baton::sys::error_name(info.param.error));
}
void PrintTo(const refusal& r, std::ostream* to) { *to << r.of->name << ", errno " << r.error; }

class RefusedCall : public testing::TestWithParam<refusal> {};

constexpr int no_filter = 77;

[[noreturn]] void be_the_child(const row& r, int ready) {
  ::alarm(100);
  if (!baton_test::ask_about(r.calls)) ::_exit(no_filter);
  CHECK(::write(ready, "x", 1) == 1);
  ::close(ready);
  r.use();
  ::_exit(0);
}

// Refuses what the child asks about until it has ended. Returns how often that was.
int refuse_until_it_ends(pid_t child, int error) {
  const baton_test::asked_calls asked(child);
  EXPECT_TRUE(asked.work()) << "errno " << errno;
  const baton::sys::owned_fd end(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  for (int times = 0;;) {
    pollfd what[] = {{asked.fd(), POLLIN, 0}, {end.get(), POLLIN, 0}};
    if (::poll(what, 2, -1) < 0) continue;
    if ((what[1].revents & POLLIN) != 0 || !asked.work()) return times;
    if ((what[0].revents & POLLIN) != 0 && asked.answer(error)) ++times;
  }
}

TEST_P(RefusedCall, WhatUsesItGoesOn) {
  const auto [r, error] = GetParam();
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) be_the_child(*r, ready[1]);
  ::close(ready[1]);
  char c = 0;
  const bool begins = ::read(ready[0], &c, 1) == 1;
  ::close(ready[0]);
  const int times = begins ? refuse_until_it_ends(child, error) : 0;
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == no_filter) GTEST_SKIP() << "this system allows no filter";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
      << "status " << status << ", refused " << times << " times";
  if (times == 0 && r->is_made == made::perhaps) GTEST_SKIP() << "no such call is made here";
  EXPECT_GT(times, 0) << "nothing was refused";
}

INSTANTIATE_TEST_SUITE_P(Each, RefusedCall, testing::ValuesIn(refusals()), name_of);

}  // namespace
