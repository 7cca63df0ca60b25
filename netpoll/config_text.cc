#include <baton/netpoll/config_text.h>

#include <baton/syscall/files.h>
#include <baton/syscall/names.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <cstddef>

namespace baton::net {

namespace {

constexpr std::size_t text_max = std::size_t{16} << 20;

}  // namespace

file_stamp stamp_of(const std::string& path) noexcept {
  const auto s = sys::stat(path);
  if (!s) return {};
  return {s->st_dev, s->st_ino, s->st_size, std::int64_t{s->st_mtim.tv_sec} * 1'000'000'000 + s->st_mtim.tv_nsec};
}

std::string text_of(const std::string& path) {
  std::string text;
  const auto fd = sys::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (!fd) return text;
  const sys::owned_fd owned(*fd);
  while (text.size() < text_max) {
    constexpr std::size_t step = 4096;
    const std::size_t had = text.size();
    text.resize(had + step);
    const auto got = sys::read(owned.get(), bytes(text.data() + had, step));
    text.resize(had + (got ? *got : 0));
    if (!got) return {};
    if (*got == 0) return text;
  }
  return {};
}

}  // namespace baton::net
