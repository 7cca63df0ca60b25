// What the server answers.
//
//   GET /               a greeting
//   GET /file?path=P    the file P below the served root
//   GET /sleep?ms=N     after N milliseconds (at most 10,000) in which the *thread* was blocked, the way
//                       a vendor library's call would block it
//   GET /stats          the runtime's counters and the server's, a "name value" line each
#pragma once

#include "http/output.h"
#include "http/request.h"
#include "http/server.h"

#include <baton/baton.h>

#include <atomic>
#include <cstdint>

namespace http_server {

class routes {
 public:
  // `root` is a descriptor of the folder that /file serves. At most `sleeps_at_once` threads are blocked by /sleep;
  // further requests for it wait without a thread.
  routes(baton::sys::owned_fd root, int sleeps_at_once);

  // Answers the request: head and body. Switches.
  void answer(const http::request& r, http::output& out);

  // Whose counters /stats shows.
  void set_server(http::server& s) { server_ = &s; }

 private:
  void serve_file(const http::request& r, http::output& out);
  void sleep(const http::request& r, http::output& out);
  void show_statistics(const http::request& r, http::output& out);

  const baton::sys::owned_fd root_;
  baton::blocking_gate sleep_gate_;
  http::server* server_ = nullptr;
  std::atomic<std::uint64_t> sleeps_{0};
};

}  // namespace http_server
