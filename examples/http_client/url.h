// The addresses of http and https. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace http_client {

struct url {
  bool secure = false;
  std::string host;    // as in the field Host: an IPv6 address has brackets
  std::string port;    // a number; the scheme's own if none was given
  std::string target;  // path and query: "/a?b"; never empty, without a fragment

  [[nodiscard]] std::string authority() const { return host + ":" + port; }
  [[nodiscard]] std::string to_string() const;
};

// Returns nullopt for what is no URL of http or https. A user ("me@") is refused.
[[nodiscard]] std::optional<url> parse_url(std::string_view text);

// Returns where a Location of that URL leads: it may be a whole URL, or only its later parts.
[[nodiscard]] std::optional<url> resolve(const url& base, std::string_view location);

}  // namespace http_client
