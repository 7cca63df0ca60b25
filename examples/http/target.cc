#include "http/target.h"

#include "http/text.h"
#include "http/uri.h"

#include <algorithm>

namespace http {

namespace {

void split_path(std::string_view target, request& r) {
  const std::size_t question = std::min(target.find('?'), target.size());
  r.path = target.substr(0, question);
  r.query = target.substr(std::min(target.size(), question + 1));
}

}  // namespace

bool read_target(std::string_view target, request& r) {
  const auto is_visible = [](char c) { return c > ' ' && c < 0x7f && c != '#'; };
  if (!std::all_of(target.begin(), target.end(), is_visible)) return false;
  if (r.method == "CONNECT") {
    r.host = target;
    return is_authority(target) && target.find(':', target.find(']') + 1) < target.size() - 1;  // with a port
  }
  if (target == "*" || target.front() == '/') {
    split_path(target, r);
    return target != "*" || r.method == "OPTIONS";
  }
  constexpr std::string_view scheme = "http://";
  if (!equal_ignoring_case(target.substr(0, scheme.size()), scheme)) return false;
  target.remove_prefix(scheme.size());
  r.host = target.substr(0, target.find_first_of("/?"));
  split_path(target.substr(r.host.size()), r);
  if (r.path.empty()) r.path = r.method == "OPTIONS" && r.query.empty() ? "*" : "/";
  return is_authority(r.host);
}

}  // namespace http
