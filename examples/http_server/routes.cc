// Files are opened with openat2(RESOLVE_BENEATH): the kernel refuses every path that would leave the
// root, by "..", by an absolute path or by a symbolic link, at any time.
#include "routes.h"

#include "server.h"

#include <charconv>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <linux/openat2.h>
#include <optional>
#include <sys/stat.h>
#include <sys/syscall.h>

namespace http_server {

namespace {

constexpr off_t file_size_max = 64 << 20;
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

void append_header(server& s, int status, std::string_view type, std::size_t length, bool keep_alive,
                   std::string& out) {
  char number[24];
  const auto status_end = std::to_chars(number, number + sizeof number, status).ptr;
  out.append("HTTP/1.1 ").append(number, status_end).append(" ").append(reason(status)).append("\r\n");
  out.append(s.date_header());
  if (status == 405) out.append("Allow: GET, HEAD\r\n");
  if (!keep_alive) out.append("Connection: close\r\n");
  const auto length_end = std::to_chars(number, number + sizeof number, length).ptr;
  out.append("Content-Type: ").append(type).append("\r\nContent-Length: ").append(number, length_end);
  out.append("\r\n\r\n");
}

void append_text(server& s, const request& r, std::string_view text, std::string& out) {
  append_header(s, 200, "text/plain", text.size(), r.keep_alive, out);
  if (r.method != "HEAD") out.append(text);
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

void file(server& s, const request& r, std::string& out) {
  const auto path = parameter(r.target, "path");
  if (!path || path->empty() || path->find('\0') != std::string::npos) {
    append_error(s, 400, r.keep_alive, out);
    return;
  }
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a FIFO must not hold us
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const auto fd = baton::sys::syscall<SYS_openat2>(s.root_directory(), path->c_str(), &how, sizeof how);
  if (!fd) {
    append_error(s, status_of_errno(fd.error()), r.keep_alive, out);
    return;
  }
  const baton::sys::owned_fd file(static_cast<int>(*fd));
  struct stat about {};
  if (!baton::sys::fstat(file.get(), &about) || !S_ISREG(about.st_mode) || about.st_size > file_size_max) {
    append_error(s, 403, r.keep_alive, out);
    return;
  }
  const auto size = static_cast<std::size_t>(about.st_size);
  const std::size_t before = out.size();
  append_header(s, 200, "application/octet-stream", size, r.keep_alive, out);
  if (r.method == "HEAD") return;
  std::size_t have = out.size();
  out.resize(have + size);
  for (std::size_t done = 0; done < size;) {
    const auto n = baton::sys::pread(file.get(), baton::bytes(out.data() + have, size - done), static_cast<off_t>(done));
    if (!n || *n == 0) {  // it became shorter, or cannot be read
      out.resize(before);
      append_error(s, 500, r.keep_alive, out);
      return;
    }
    done += *n;
    have += *n;
  }
}

void sleep(server& s, const request& r, std::string& out) {
  const auto text = parameter(r.target, "ms");
  int ms = -1;
  if (text) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), ms);
    if (error != std::errc() || end != text->data() + text->size()) ms = -1;
  }
  if (ms < 0 || ms > sleep_ms_max) {
    append_error(s, 400, r.keep_alive, out);
    return;
  }
  // Blocks the thread, as many a library does; the P goes to another thread meanwhile.
  baton::blocking([ms] {
    timespec left{ms / 1000, ms % 1000 * 1'000'000L};
    while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
  });
  s.sleeps.fetch_add(1, std::memory_order_relaxed);
  append_text(s, r, "slept\n", out);
}

void statistics(server& s, const request& r, std::string& out) {
  std::string text = baton::to_string(baton::stats());
  if (!text.empty() && text.back() != '\n') text.push_back('\n');
  text += "requests " + std::to_string(s.requests.load()) + "\n";
  text += "sleeps " + std::to_string(s.sleeps.load()) + "\n";
  text += "refused " + std::to_string(s.refused.load()) + "\n";
  text += "connections " + std::to_string(s.connections.load()) + "\n";
  append_text(s, r, text, out);
}

std::string_view path_of(const request& r) { return r.target.substr(0, r.target.find('?')); }

}  // namespace

bool may_take_long(const request& r) { return path_of(r) == "/sleep"; }

void respond(server& s, const request& r, std::string& out) {
  if (r.method != "GET" && r.method != "HEAD") {
    append_error(s, 405, r.keep_alive, out);
    return;
  }
  const std::string_view path = path_of(r);
  if (path == "/") {
    append_text(s, r, "Hello from a fiber\n", out);
  } else if (path == "/file") {
    file(s, r, out);
  } else if (path == "/sleep") {
    sleep(s, r, out);
  } else if (path == "/stats") {
    statistics(s, r, out);
  } else {
    append_error(s, 404, r.keep_alive, out);
  }
}

void append_error(server& s, int status, bool keep_alive, std::string& out) {
  const std::string_view why = reason(status);
  append_header(s, status, "text/plain", why.size() + 1, keep_alive, out);
  out.append(why).append("\n");
}

}  // namespace http_server
