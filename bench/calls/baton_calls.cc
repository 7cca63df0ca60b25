// baton_calls SCENARIO [key=value ...]: workloads.h with baton, one P.
#include "workloads.h"

#include <baton/baton.h>
#include <baton/syscall/enter_exit.h>
#include <baton/syscall/files.h>
#include <baton/syscall/raw_syscall.h>

#include <utility>

namespace {

struct with_baton {
  template <class F>
  static void run(F f) {
    baton::run(f, {.procs = 1});
  }
  static void getpid() {
    baton::enter_syscall();
    (void)baton::sys::raw_syscall(SYS_getpid);
    baton::exit_syscall();
  }
  static void read(int fd, char* into, std::size_t size) {
    const auto n = baton::sys::read(fd, baton::bytes(into, size));
    if (!n || *n != size) bench::die("read");
  }
  static baton::net::tcp_stream connect(unsigned short port) {
    auto stream = baton::net::dial("127.0.0.1:" + std::to_string(port));
    if (!stream.ok()) bench::die("dial");
    return std::move(*stream);
  }
  static void send(baton::net::tcp_stream& stream, const std::string& message) {
    if (!stream.write(baton::const_bytes(message.data(), message.size())).ok()) bench::die("write");
  }
  static baton::file open(const std::string& path) {
    auto file = baton::file::open(path, O_RDWR);
    if (!file.ok()) bench::die("open");
    return std::move(*file);
  }
  static void write_at(baton::file& file, const std::string& content, off_t offset) {
    if (!file.write_at(baton::const_bytes(content.data(), content.size()), offset).ok()) bench::die("write_at");
  }
  static void start_and_wait(int children) {
    const auto one = [] {
      const auto end = baton::command("/bin/true").run();
      if (!end.ok() || !end->success()) bench::die("run");
    };
    if (children == 1) return one();
    baton::task_group group;
    for (int i = 0; i < children; ++i) group.spawn(one);
    if (!group.wait().ok()) bench::die("wait");
  }
};

}  // namespace

int main(int argc, char** argv) { return calls::main<with_baton>(argc, argv); }
