#include "routes.h"

#include "http/files.h"
#include "http/response.h"
#include "http/uri.h"

#include <sys/stat.h>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <string>
#include <utility>

namespace http_server {

namespace {

constexpr int sleep_ms_max = 10'000;

}  // namespace

routes::routes(baton::sys::owned_fd root, int sleeps_at_once) : root_(std::move(root)), sleep_gate_(sleeps_at_once) {}

void routes::serve_file(const http::request& r, http::output& out) {
  const auto path = http::query_parameter(r.query, "path");
  if (!path) return respond_with_error(r, 400, out);
  baton::file file;
  if (const int status = http::open_below(root_.get(), *path, file); status != http::accepted) {
    return respond_with_error(r, status, out);
  }
  const auto about = file.stat();
  if (!about.ok()) return respond_with_error(r, 500, out);
  if (!S_ISREG(about->st_mode)) return respond_with_error(r, 403, out);
  http::respond_with_file(r, 200, {}, "application/octet-stream", file, {0, static_cast<std::size_t>(about->st_size)},
                          out);
}

void routes::sleep(const http::request& r, http::output& out) {
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
  baton::blocking(sleep_gate_, [ms] {
    timespec left{ms / 1000, ms % 1000 * 1'000'000L};
    while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
  });
  sleeps_.fetch_add(1, std::memory_order_relaxed);
  respond_with_text(r, 200, "slept\n", out);
}

void routes::show_statistics(const http::request& r, http::output& out) {
  std::string text = baton::to_string(baton::stats());
  if (!text.empty() && text.back() != '\n') text.push_back('\n');
  const auto line = [&text](const char* name, const std::atomic<std::uint64_t>& value) {
    text.append(name).append(" ").append(std::to_string(value.load(std::memory_order_relaxed))).append("\n");
  };
  line("requests", server_->count().requests);
  line("sleeps", sleeps_);
  line("refused", server_->count().refused);
  line("connections", server_->count().connections);
  respond_with_text(r, 200, text, out);
}

void routes::answer(const http::request& r, http::output& out) {
  if (http::refuse_method(r, out)) return;
  const auto path = http::percent_decoded(r.path);
  if (!path) return respond_with_error(r, 400, out);
  if (*path == "/") return respond_with_text(r, 200, "Hello from a fiber\n", out);
  if (*path == "/file") return serve_file(r, out);
  if (*path == "/sleep") return sleep(r, out);
  if (*path == "/stats") return show_statistics(r, out);
  respond_with_error(r, 404, out);
}

}  // namespace http_server
