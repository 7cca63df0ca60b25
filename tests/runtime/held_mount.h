// A mounted file system whose server answers when the test says so: a hung network mount. The server is a process of
// its own (a thread of this one could not die while others wait for it), and speaks FUSE's protocol.
//
//   held_mount mount(100);                   // files 0 to 99 of held_mount::file_size bytes
//   if (!mount.works()) _exit(77);           // not permitted here
//   mount.hold(FUSE_OPEN);
//   ...                                      // opens wait now
//   mount.release();
//
// For a process that ends with the test (EXPECT_EXIT): the mount is in a namespace of the calling thread, and of those
// that it starts.
#pragma once

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace baton::test {

class held_mount {
 public:
  static constexpr std::uint64_t file_size = 4096;

  explicit held_mount(int files) : files_(files) {
    void* const memory = ::mmap(nullptr, sizeof(state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    state_ = new (memory) state;
    std::string pattern = "/tmp/baton-mount-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    const int fuse = ::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    const std::string options = "fd=" + std::to_string(fuse) + ",rootmode=40000,user_id=" + std::to_string(::getuid()) +
                                ",group_id=" + std::to_string(::getgid());
    works_ = fuse >= 0 && ::unshare(CLONE_NEWNS) == 0 &&
             ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
             ::mount("held", root_.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) == 0;
    if (works_ && ::fork() == 0) serve(fuse);
    ::close(fuse);
    struct ::stat about {};
    // The kernel remembers the names from here on.
    for (int i = 0; works_ && i < files; ++i) works_ = ::stat(path(i).c_str(), &about) == 0;
  }
  held_mount(const held_mount&) = delete;
  held_mount& operator=(const held_mount&) = delete;

  [[nodiscard]] bool works() const { return works_; }
  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string path(int i) const { return root_ + "/" + std::to_string(i); }

  // From here on the server keeps the requests of this kind.
  void hold(std::uint32_t opcode) { state_->held = opcode; }
  // The server answers what it has kept, and what comes.
  void release() { state_->held = 0; }
  // The number of requests that the server keeps.
  [[nodiscard]] int waiting() const { return state_->waiting; }

 private:
  struct state {
    std::atomic<std::uint32_t> held{0};
    std::atomic<int> waiting{0};
  };

  [[noreturn]] void serve(int fuse) const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(120);
    std::vector<char> request(std::size_t{1} << 18);
    std::vector<std::vector<char>> kept;
    for (;;) {
      ::pollfd one{fuse, POLLIN, 0};
      ::poll(&one, 1, 2);
      if (state_->held == 0) {
        for (const auto& r : kept) answer(fuse, r.data());
        kept.clear();
        state_->waiting = 0;
      }
      const ssize_t n = ::read(fuse, request.data(), request.size());
      if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOENT)) continue;
      if (n < 0) ::_exit(0);  // unmounted
      ::fuse_in_header in{};
      std::memcpy(&in, request.data(), sizeof in);
      if (in.opcode == state_->held) {
        kept.emplace_back(request.begin(), request.begin() + n);
        state_->waiting = static_cast<int>(kept.size());
      } else {
        answer(fuse, request.data());
      }
    }
  }

  static void reply(int fuse, std::uint64_t unique, int error, const void* data, std::size_t size) {
    ::fuse_out_header head{};
    head.len = static_cast<std::uint32_t>(sizeof head + size);
    head.error = -error;
    head.unique = unique;
    ::iovec parts[2] = {{&head, sizeof head}, {const_cast<void*>(data), size}};
    static_cast<void>(::writev(fuse, parts, 2));
  }
  template <class T>
  static void reply(int fuse, std::uint64_t unique, const T& data) {
    reply(fuse, unique, 0, &data, sizeof data);
  }

  [[nodiscard]] static ::fuse_attr attributes(std::uint64_t node) {
    ::fuse_attr a{};
    a.ino = node;
    a.mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
    a.size = node == FUSE_ROOT_ID ? 0 : file_size;
    a.nlink = 1;
    a.uid = ::getuid();
    a.gid = ::getgid();
    return a;
  }

  void answer(int fuse, const char* request) const {
    ::fuse_in_header in{};
    std::memcpy(&in, request, sizeof in);
    const char* const body = request + sizeof in;
    switch (in.opcode) {
      case FUSE_INIT: {
        ::fuse_init_out out{};
        out.major = FUSE_KERNEL_VERSION;
        out.minor = 31;
        out.max_write = 4096;
        out.max_background = 1000;
        out.congestion_threshold = 1000;
        return reply(fuse, in.unique, out);
      }
      case FUSE_LOOKUP: {
        const int i = std::atoi(body);
        if (std::to_string(i) != body || i >= files_) return reply(fuse, in.unique, ENOENT, nullptr, 0);
        ::fuse_entry_out out{};
        out.nodeid = FUSE_ROOT_ID + 1 + static_cast<std::uint64_t>(i);
        out.entry_valid = 3600;  // names are remembered, attributes are not
        out.attr = attributes(out.nodeid);
        return reply(fuse, in.unique, out);
      }
      case FUSE_GETATTR: {
        ::fuse_attr_out out{};
        out.attr = attributes(in.nodeid);
        return reply(fuse, in.unique, out);
      }
      case FUSE_OPEN:
      case FUSE_OPENDIR: return reply(fuse, in.unique, ::fuse_open_out{});
      case FUSE_READ: {
        ::fuse_read_in what{};
        std::memcpy(&what, body, sizeof what);
        const std::uint64_t end = std::min<std::uint64_t>(what.offset + what.size, file_size);
        const std::string data(end > what.offset ? end - what.offset : 0, 'x');
        return reply(fuse, in.unique, 0, data.data(), data.size());
      }
      case FUSE_FLUSH:
      case FUSE_FSYNC:
      case FUSE_RELEASE:
      case FUSE_RELEASEDIR:
      case FUSE_READDIR: return reply(fuse, in.unique, 0, nullptr, 0);
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT: return;
      default: return reply(fuse, in.unique, ENOSYS, nullptr, 0);
    }
  }

  const int files_;
  state* state_;
  std::string root_;
  bool works_ = false;
};

}  // namespace baton::test
