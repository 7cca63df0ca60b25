#include "url.h"

#include "http/text.h"
#include "http/uri.h"

#include <algorithm>
#include <vector>

namespace http_client {

namespace {

std::string_view default_port(bool secure) { return secure ? "443" : "80"; }

// Takes "." and ".." out of a path, as RFC 3986, section 5.2.4, has it.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  for (path.remove_prefix(1);;) {
    const std::string_view segment = path.substr(0, path.find('/'));
    const bool is_last = segment.size() == path.size();
    const bool is_dots = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!is_dots) kept.push_back(segment);
    if (is_last && is_dots) kept.emplace_back();  // "/a/.." is "/"
    if (is_last) break;
    path.remove_prefix(segment.size() + 1);
  }
  std::string joined;
  for (const std::string_view segment : kept) joined.append("/").append(segment);
  return joined;
}

}  // namespace

std::string url::to_string() const {
  const std::string shown_port = port == default_port(secure) ? "" : ":" + port;
  return (secure ? "https://" : "http://") + host + shown_port + target;
}

std::optional<url> parse_url(std::string_view text) {
  const auto is_visible = [](char c) { return c > ' ' && c < 0x7f; };
  if (!std::all_of(text.begin(), text.end(), is_visible)) return std::nullopt;
  url parsed;
  const std::size_t scheme_end = std::min(text.find("://"), text.size());
  parsed.secure = http::equal_ignoring_case(text.substr(0, scheme_end), "https");
  if (!parsed.secure && !http::equal_ignoring_case(text.substr(0, scheme_end), "http")) return std::nullopt;
  text.remove_prefix(std::min(text.size(), scheme_end + 3));
  text = text.substr(0, text.find('#'));
  const std::string_view authority = text.substr(0, text.find_first_of("/?"));
  if (!http::is_authority(authority)) return std::nullopt;
  const std::size_t colon = authority.find(':', authority.starts_with('[') ? authority.find(']') : 0);
  parsed.host = authority.substr(0, colon);
  parsed.port = authority.substr(std::min(authority.size(), std::min(colon, authority.size()) + 1));
  if (parsed.port.empty()) parsed.port = default_port(parsed.secure);
  parsed.target = text.substr(authority.size());
  if (!parsed.target.starts_with('/')) parsed.target.insert(0, "/");
  return parsed;
}

std::optional<url> resolve(const url& base, std::string_view location) {
  location = location.substr(0, location.find('#'));
  const std::size_t colon = location.find(':');
  if (colon != std::string_view::npos && colon < location.find_first_of("/?")) return parse_url(location);
  const std::string scheme = base.secure ? "https:" : "http:";
  if (location.starts_with("//")) return parse_url(scheme + std::string(location));
  const std::string_view path = std::string_view(base.target).substr(0, base.target.find('?'));
  std::string target(location);
  if (location.empty()) {
    target = base.target;
  } else if (location.starts_with('?')) {
    target = std::string(path) + target;
  } else if (!location.starts_with('/')) {
    target = std::string(path.substr(0, path.rfind('/') + 1)) + target;
  }
  const std::size_t query = std::min(target.find('?'), target.size());
  return parse_url(scheme + "//" + base.authority() + without_dots(std::string_view(target).substr(0, query)) +
                   target.substr(query));
}

}  // namespace http_client
