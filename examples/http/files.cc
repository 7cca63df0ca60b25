#include "http/files.h"

#include "http/response.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <cerrno>
#include <utility>

namespace http {

namespace {

int status_of_errno(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return 404;
    case EXDEV:  // beyond the root
    case ELOOP:
    case EACCES:
    case EPERM:
    case ENXIO: return 403;  // a socket
    case ENAMETOOLONG:
    case EINVAL: return 400;
    case EINTR:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM: return 503;  // it may work later
    default: return 500;
  }
}

// Opens a path below the root. EAGAIN means that something was renamed or mounted meanwhile, so the kernel cannot tell
// whether a ".." stayed below the root, and expects another try. The number of tries is limited, in case something is
// renamed all the time. Switches.
baton::sys::result<long> open_beneath(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a FIFO must not block the open
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int left = 100;; --left) {
    const auto fd = baton::sys::syscall<SYS_openat2>(root, path.c_str(), &how, sizeof how);
    if (fd || left == 0 || (fd.error() != EAGAIN && fd.error() != EINTR)) return fd;
  }
}

}  // namespace

int open_below(int root, const std::string& path, baton::file& opened) {
  if (path.empty() || path.find('\0') != std::string::npos) return 400;
  const auto fd = open_beneath(root, path);
  if (!fd) return status_of_errno(fd.error());
  baton::sys::owned_fd owned(static_cast<int>(*fd));
  auto adopted = baton::file::adopt(owned.get(), path);
  if (!adopted.ok()) return 500;
  opened = *std::move(adopted);
  static_cast<void>(owned.release());
  return accepted;
}

void respond_with_file(const request& r, int status, std::string_view fields, std::string_view type, baton::file& file,
                       extent piece, output& out) {
  std::string copy;
  const bool has_content = r.method != "HEAD";
  if (has_content && piece.size <= output::long_text) copy.resize(piece.size);
  for (std::size_t done = 0; done < copy.size();) {
    const auto n = file.read_at(baton::bytes(copy).drop(done), piece.offset + static_cast<off_t>(done));
    if (!n.ok() || *n == 0) return respond_with_error(r, 500, out);  // it cannot be read, or has become shorter
    done += *n;
  }
  append_head(r, status, fields, type, piece.size, out);
  if (!has_content) return;
  if (piece.size <= output::long_text) {
    out << copy;
  } else {
    out.send_file(file, piece.offset, piece.size);
  }
}

}  // namespace http
