// An echo server at a path of this host, which also takes descriptors.
//
//   unix_echo [path]        default /tmp/unix_echo.sock; "@name" is an abstract name, which has no file
//   nc -U /tmp/unix_echo.sock
//
// What a client writes comes back. If a descriptor comes with it (SCM_RIGHTS), the bytes go to that descriptor instead,
// and the server closes it: so a client can have its data written to a file that the server may not open, or hand over
// one end of a pipe. For each connection the server prints the client's process and user, as the kernel reports them.
//
// A socket file that a killed server has left is replaced. It is the clients' only if they may write to it: its mode is
// 0600, so they are of the same user.
//
// Ctrl-C or SIGTERM ends it, and removes the file. Exit code 0: a signal ended it; 1: it could not listen, or not
// accept any more.
#include <baton/baton.h>

#include "command_line.h"
#include "descriptor_limit.h"
#include "serve_until_signal.h"

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

namespace {

using baton::net::unix_stream;

// Writes to a descriptor of a client's. It may be of any kind. A pipe that no process reads must not hold up the
// connection.
absl::Status write_to(baton::sys::owned_fd fd, baton::const_bytes data, const baton::context& running) {
  auto file = baton::file::adopt(fd.get(), "a client's descriptor");
  if (!file.ok()) return file.status();
  (void)fd.release();
  // These are for what can be polled. Other descriptors are regular files, and do not keep a writer for long.
  (void)file->set_deadline(std::chrono::steady_clock::now() + std::chrono::seconds(5));
  (void)file->set_context(running);
  return file->write(data).status();
}

void echo(unix_stream& peer, const baton::context& running) {
  peer.set_context(running);
  if (const auto who = peer.credentials(); who.ok()) {
    std::printf("process %d of user %u\n", static_cast<int>(who->pid), static_cast<unsigned>(who->uid));
    std::fflush(stdout);
  }
  std::byte buffer[16 * 1024];
  for (;;) {
    baton::sys::owned_fd fd;
    const auto came = peer.receive_fds(buffer, {&fd, 1});  // parks this fiber, not the thread
    if (!came.ok() || came->size == 0) return;  // an error (also when the server stops), or the peer has closed
    const baton::const_bytes data(buffer, came->size);
    if (fd) {
      if (!write_to(std::move(fd), data, running).ok()) return;
    } else if (!peer.write(data).ok()) {
      return;
    }
  }
}

int serve(const std::string& path) {
  auto listener = baton::net::unix_listener::bind(path, {.replace_stale = true, .mode = 0600});
  if (!listener.ok()) return examples::failed("unix_echo", listener.status());
  baton::task_group connections;
  const absl::Status end = examples::serve_until_signal(*listener, connections, echo);
  return end.ok() ? 0 : examples::failed("unix_echo", end);
}  // the group cancels the open connections, and waits for their fibers

}  // namespace

int main(int argc, char** argv) {
  if (!examples::are_operands(argc, argv, 1)) return examples::misused("unix_echo [path]");
  examples::raise_descriptor_limit();
  return examples::run("unix_echo", [&] { return serve(argc > 1 ? argv[1] : "/tmp/unix_echo.sock"); });
}
