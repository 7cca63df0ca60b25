// What the servers have in common on their command lines.
#pragma once

#include <baton/baton.h>

#include <chrono>
#include <string>

namespace http {

struct settings {
  std::string address = "127.0.0.1:8080";
  std::string tls_cert;  // PEM files; empty: no TLS
  std::string tls_key;
  std::chrono::milliseconds header_timeout{5'000};  // for a whole request, from its first byte (the first
                                                    // request: from the connection's beginning)
  std::chrono::milliseconds idle_timeout{60'000};   // between requests
  std::chrono::milliseconds write_timeout{30'000};  // for a peer that takes nothing of what the server sends
  std::chrono::milliseconds drain_timeout{10'000};
};

inline constexpr const char* settings_usage =
    "  [--port N] [--procs N] [--header-timeout-ms N] [--idle-timeout-ms N] [--write-timeout-ms N]\n"
    "  [--drain-timeout-ms N] [--tls CERT KEY]\n"
    "  --port 0 lets the kernel choose; the address is printed.\n"
    "  --tls speaks HTTPS; the certificate, with those above it, and the key are PEM files.\n"
    "  SIGTERM or SIGINT drains. Exit code 0: every request was answered; 1: some took longer than that, or the\n"
    "  server could not listen or accept.\n";

// Reads the flag argv[i] with what belongs to it, and moves `i` to the last of that. Returns false if it is no flag of
// these, or a wrong one.
[[nodiscard]] bool read_setting(int argc, char** argv, int& i, settings& s, baton::options& options);

}  // namespace http
