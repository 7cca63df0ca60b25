// Files are opened with openat2(RESOLVE_BENEATH): the kernel refuses every path that would leave the root, by "..", by
// an absolute path or by a symbolic link, at any time.
#include "routes.h"

#include "output.h"
#include "server.h"

#include "http/request.h"
#include "http/uri.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <ctime>
#include <iterator>
#include <string>
#include <utility>

namespace http_server {

namespace {

constexpr int sleep_ms_max = 10'000;

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
  }
}

void append_header(const http::request& r, int status, std::string_view type, std::size_t length, output& out) {
  out << "HTTP/1.1 " << static_cast<std::size_t>(status) << " " << reason(status) << "\r\n" << out.date();
  if (status == 405) out << "Allow: GET, HEAD\r\n";
  if (!r.keep_alive) {
    out << "Connection: close\r\n";
  } else if (r.minor_version == 0) {
    out << "Connection: keep-alive\r\n";
  }
  out << "Content-Type: " << type << "\r\nContent-Length: " << length << "\r\n\r\n";
}

void respond_with_text(const http::request& r, int status, std::string_view text, output& out) {
  append_header(r, status, "text/plain", text.size(), out);
  if (r.method != "HEAD") out << text;
}

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
baton::sys::result<long> open_below(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a FIFO must not block the open
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int left = 100;; --left) {
    const auto fd = baton::sys::syscall<SYS_openat2>(root, path.c_str(), &how, sizeof how);
    if (fd || left == 0 || (fd.error() != EAGAIN && fd.error() != EINTR)) return fd;
  }
}

void serve_file(server& s, const http::request& r, output& out) {
  auto path = http::query_parameter(r.query, "path");
  if (!path || path->empty() || path->find('\0') != std::string::npos) return respond_with_error(r, 400, out);
  const auto fd = open_below(s.root_directory(), *path);
  if (!fd) return respond_with_error(r, status_of_errno(fd.error()), out);
  baton::sys::owned_fd opened(static_cast<int>(*fd));
  auto adopted = baton::file::adopt(opened.get(), std::move(*path));
  if (!adopted.ok()) return respond_with_error(r, 500, out);
  baton::file& file = *adopted;
  static_cast<void>(opened.release());
  const auto about = file.stat();
  if (!about.ok()) return respond_with_error(r, 500, out);
  if (!S_ISREG(about->st_mode)) return respond_with_error(r, 403, out);

  const auto size = static_cast<std::size_t>(about->st_size);
  std::string& text = out.text();
  const std::size_t before = text.size();
  append_header(r, 200, "application/octet-stream", size, out);
  if (r.method == "HEAD") return;
  if (size > output::long_text) {
    out.send_file(file, size);
    return;
  }
  const std::size_t body = text.size();
  text.resize(body + size);
  for (std::size_t done = 0; done < size;) {
    const auto n = file.read_at(baton::bytes(text.data() + body + done, size - done), static_cast<off_t>(done));
    if (!n.ok() || *n == 0) {  // the file cannot be read, or has become shorter
      text.resize(before);
      return respond_with_error(r, 500, out);
    }
    done += *n;
  }
}

void sleep(server& s, const http::request& r, output& out) {
  const auto text = http::query_parameter(r.query, "ms");
  int ms = -1;
  if (text) {
    const char* const end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, ms);
    if (error != std::errc() || stop != end) ms = -1;
  }
  if (ms < 0 || ms > sleep_ms_max) return respond_with_error(r, 400, out);
  if (!out.flush()) return;  // responses that are ready need not wait for this one
  // Blocks the thread, as many libraries do; the P goes to another thread meanwhile. Without the gate there would be a
  // thread for each request, that is as many threads as clients open connections.
  baton::blocking(s.sleep_gate(), [ms] {
    timespec left{ms / 1000, ms % 1000 * 1'000'000L};
    while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
  });
  s.count().sleeps.fetch_add(1, std::memory_order_relaxed);
  respond_with_text(r, 200, "slept\n", out);
}

void statistics(server& s, const http::request& r, output& out) {
  std::string text = baton::to_string(baton::stats());
  if (!text.empty() && text.back() != '\n') text.push_back('\n');
  const auto line = [&text](const char* name, const std::atomic<std::uint64_t>& value) {
    text.append(name).append(" ").append(std::to_string(value.load(std::memory_order_relaxed))).append("\n");
  };
  line("requests", s.count().requests);
  line("sleeps", s.count().sleeps);
  line("refused", s.count().refused);
  line("connections", s.count().connections);
  respond_with_text(r, 200, text, out);
}

bool is_known_method(std::string_view method) {
  constexpr std::string_view known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  return std::find(std::begin(known), std::end(known), method) != std::end(known);
}

}  // namespace

void respond(server& s, const http::request& r, output& out) {
  if (r.method != "GET" && r.method != "HEAD") return respond_with_error(r, is_known_method(r.method) ? 405 : 501, out);
  const auto path = http::percent_decoded(r.path);
  if (!path) return respond_with_error(r, 400, out);
  if (*path == "/") return respond_with_text(r, 200, "Hello from a fiber\n", out);
  if (*path == "/file") return serve_file(s, r, out);
  if (*path == "/sleep") return sleep(s, r, out);
  if (*path == "/stats") return statistics(s, r, out);
  respond_with_error(r, 404, out);
}

void respond_with_error(const http::request& r, int status, output& out) {
  respond_with_text(r, status, std::string(reason(status)) + "\n", out);
}

}  // namespace http_server
