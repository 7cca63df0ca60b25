// Parts of a URI: RFC 3986, and RFC 9110, section 4.2. All functions are pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace http {

// Returns true if the text is "host" or "host:port": a name, an IPv4 address, or an IPv6 address in brackets. The port
// may be empty, the host may not, and there is no "user@" before it.
[[nodiscard]] bool is_authority(std::string_view text);

// Returns the text with %XX decoded, or nullopt if a '%' is not followed by two hexadecimal digits.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text);

// Returns the text with all but letters, digits, "-._~" and '/' encoded as %XX: it names a path in a URI.
[[nodiscard]] std::string percent_encoded(std::string_view text);

// Returns the value of the first parameter of that name in a query "a=1&b=2", decoded, with '+' as a space. Returns
// nullopt if there is none, or one before it is badly encoded.
[[nodiscard]] std::optional<std::string> query_parameter(std::string_view query, std::string_view name);

}  // namespace http
