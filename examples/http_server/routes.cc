// Files are opened with openat2(RESOLVE_BENEATH): the kernel refuses every path that would leave the
// root, by "..", by an absolute path or by a symbolic link, at any time.
#include "routes.h"

#include "output.h"
#include "server.h"

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
#include <optional>
#include <string>

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
    case 413: return "Payload Too Large";
    case 431: return "Request Header Fields Too Large";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
  }
}

void append_header(const request& r, int status, std::string_view type, std::size_t length, output& out) {
  out << "HTTP/1.1 " << static_cast<std::size_t>(status) << " " << reason(status) << "\r\n" << out.date();
  if (status == 405) out << "Allow: GET, HEAD\r\n";
  if (!r.keep_alive) {
    out << "Connection: close\r\n";
  } else if (r.http_1_0) {
    out << "Connection: keep-alive\r\n";
  }
  out << "Content-Type: " << type << "\r\nContent-Length: " << length << "\r\n\r\n";
}

void respond_with_text(const request& r, int status, std::string_view text, output& out) {
  append_header(r, status, "text/plain", text.size(), out);
  if (r.method != "HEAD") out << text;
}

// The value of a parameter of the query, percent-decoded; nullopt: missing or badly encoded.
std::optional<std::string> parameter(std::string_view target, std::string_view name) {
  const std::size_t question = target.find('?');
  if (question == std::string_view::npos) return std::nullopt;
  std::string_view query = target.substr(question + 1);
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.size() <= name.size() || !pair.starts_with(name) || pair[name.size()] != '=') continue;
    const std::string_view raw = pair.substr(name.size() + 1);
    std::string value;
    for (std::size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '%') {
        value.push_back(raw[i] == '+' ? ' ' : raw[i]);
        continue;
      }
      unsigned byte = 0;
      if (i + 2 >= raw.size()) return std::nullopt;
      const auto [end, error] = std::from_chars(raw.data() + i + 1, raw.data() + i + 3, byte, 16);
      if (error != std::errc() || end != raw.data() + i + 3) return std::nullopt;
      value.push_back(static_cast<char>(byte));
      i += 2;
    }
    return value;
  }
  return std::nullopt;
}

int status_of_errno(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return 404;
    case EXDEV:  // beyond the root
    case ELOOP:
    case EACCES:
    case EPERM: return 403;
    case ENAMETOOLONG:
    case EINVAL: return 400;
    default: return 500;
  }
}

// (S) Opens a path below the root.
baton::sys::result<long> open_below(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a FIFO must not hold us
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return baton::sys::syscall<SYS_openat2>(root, path.c_str(), &how, sizeof how);
}

void serve_file(server& s, const request& r, output& out) {
  const auto path = parameter(r.target, "path");
  if (!path || path->empty() || path->find('\0') != std::string::npos) return respond_with_error(r, 400, out);
  const auto fd = open_below(s.root_directory(), *path);
  if (!fd) return respond_with_error(r, status_of_errno(fd.error()), out);
  auto file = baton::file::adopt(static_cast<int>(*fd), *path);
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
    if (!n.ok() || *n == 0) {  // cannot be read, or has become shorter
      text.resize(before);
      return respond_with_error(r, 500, out);
    }
    done += *n;
  }
}

void sleep(server& s, const request& r, output& out) {
  const auto text = parameter(r.target, "ms");
  int ms = -1;
  if (text) {
    const char* const end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, ms);
    if (error != std::errc() || stop != end) ms = -1;
  }
  if (ms < 0 || ms > sleep_ms_max) return respond_with_error(r, 400, out);
  out.flush();  // responses that are ready need not wait for this one
  // Blocks the thread, as many a library does; the P goes to another thread meanwhile.
  baton::blocking([ms] {
    timespec left{ms / 1000, ms % 1000 * 1'000'000L};
    while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
  });
  s.count().sleeps.fetch_add(1, std::memory_order_relaxed);
  respond_with_text(r, 200, "slept\n", out);
}

void statistics(server& s, const request& r, output& out) {
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

// Of "/p?q" and of "http://host/p?q", which servers must take as well.
std::string_view path_of(std::string_view target) {
  constexpr std::string_view scheme = "http://";
  if (target.starts_with(scheme)) {
    const std::size_t slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find('?'));
}

}  // namespace

void respond(server& s, const request& r, output& out) {
  if (r.method != "GET" && r.method != "HEAD") return respond_with_error(r, 405, out);
  const std::string_view path = path_of(r.target);
  if (path == "/") return respond_with_text(r, 200, "Hello from a fiber\n", out);
  if (path == "/file") return serve_file(s, r, out);
  if (path == "/sleep") return sleep(s, r, out);
  if (path == "/stats") return statistics(s, r, out);
  respond_with_error(r, 404, out);
}

void respond_with_error(const request& r, int status, output& out) {
  respond_with_text(r, status, std::string(reason(status)) + "\n", out);
}

}  // namespace http_server
