// What all connections of the server share, and its life: listen, serve, drain.
#pragma once

#include <baton/baton.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>

namespace http_server {

struct settings {
  std::string address = "127.0.0.1:8080";
  std::string root = ".";                        // what /file serves
  std::chrono::milliseconds header_timeout{5000};  // from the first byte of a request to its end
  std::chrono::milliseconds idle_timeout{60'000};  // between requests
  std::chrono::milliseconds drain_timeout{10'000};
};

class server {
 public:
  explicit server(settings s);

  // Serves until SIGTERM or SIGINT, then drains: no new connections, requests under way are answered,
  // idle connections are closed. Returns the process's exit code.
  int run();

  [[nodiscard]] const settings& config() const { return settings_; }
  [[nodiscard]] bool draining() const { return draining_.load(std::memory_order_acquire); }
  [[nodiscard]] int root_directory() const { return root_.get(); }

  // "Date: ...\r\n", renewed once a second.
  [[nodiscard]] std::string_view date_header() const;

  std::atomic<std::uint64_t> requests{0}, sleeps{0}, refused{0};
  std::atomic<int> connections{0};

 private:
  void renew_date();
  void serve(baton::net::tcp_stream stream);
  void drain();

  settings settings_;
  baton::sys::owned_fd root_;
  baton::net::tcp_listener listener_;
  std::atomic<bool> draining_{false};
  baton::mutex open_mutex_;
  std::list<baton::net::tcp_stream*> open_;  // every connection, so that draining can end idle waits
  baton::wait_group all_closed_;
  // Two buffers: readers use the one that is not being written.
  std::string dates_[2];
  std::atomic<int> current_date_{0};
};

}  // namespace http_server
