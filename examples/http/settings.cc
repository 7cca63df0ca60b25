#include "http/settings.h"

#include "command_line.h"

#include <string_view>

namespace http {

bool read_setting(int argc, char** argv, int& i, settings& s, baton::options& options) {
  constexpr long hour_ms = 3'600'000;
  const std::string_view name = argv[i];
  const char* const value = ++i < argc ? argv[i] : "";
  long n = 0;
  if (name == "--port" && examples::read_number(value, 0, 65'535, n)) {
    s.address = "127.0.0.1:" + std::to_string(n);
  } else if (name == "--procs" && examples::read_number(value, 1, 256, n)) {
    options.procs = static_cast<int>(n);
  } else if (name == "--header-timeout-ms" && examples::read_number(value, 1, hour_ms, n)) {
    s.header_timeout = std::chrono::milliseconds(n);
  } else if (name == "--idle-timeout-ms" && examples::read_number(value, 1, hour_ms, n)) {
    s.idle_timeout = std::chrono::milliseconds(n);
  } else if (name == "--write-timeout-ms" && examples::read_number(value, 1, hour_ms, n)) {
    s.write_timeout = std::chrono::milliseconds(n);
  } else if (name == "--drain-timeout-ms" && examples::read_number(value, 0, hour_ms, n)) {
    s.drain_timeout = std::chrono::milliseconds(n);
  } else if (name == "--tls" && i + 1 < argc && *value != '\0') {
    s.tls_cert = value;
    s.tls_key = argv[++i];
  } else {
    return false;
  }
  return true;
}

}  // namespace http
