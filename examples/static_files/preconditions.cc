#include "preconditions.h"

#include "http/text.h"

#include <cstdint>
#include <cstdio>

namespace static_files {

namespace {

bool is_weak(std::string_view tag) { return tag.starts_with("W/"); }

std::string_view opaque(std::string_view tag) { return is_weak(tag) ? tag.substr(2) : tag; }

// Takes the first tag from a list such as `"a", W/"b,c"`. Returns an empty text if there is none.
std::string_view take_tag(std::string_view& list) {
  while (!list.empty() && (list.front() == ',' || list.front() == ' ' || list.front() == '\t')) list.remove_prefix(1);
  const std::size_t open = is_weak(list) ? 2 : 0;
  if (list.size() <= open || list[open] != '"') return {};
  const std::size_t close = list.find('"', open + 1);
  if (close == std::string_view::npos) return {};
  const std::string_view tag = list.substr(0, close + 1);
  list.remove_prefix(tag.size());
  return tag;
}

// The field may come on several lines.
bool any_matches(const http::request& r, std::string_view name, const std::string& tag, bool strongly) {
  for (const http::field& f : r.fields) {
    if (!http::equal_ignoring_case(f.name, name)) continue;
    if (f.value == "*") return true;
    std::string_view list = f.value;
    for (std::string_view one = take_tag(list); !one.empty(); one = take_tag(list)) {
      if (opaque(one) == opaque(tag) && !(strongly && (is_weak(one) || is_weak(tag)))) return true;
    }
  }
  return false;
}

bool has_field(const http::request& r, std::string_view name) {
  for (const http::field& f : r.fields) {
    if (http::equal_ignoring_case(f.name, name)) return true;
  }
  return false;
}

}  // namespace

validators validators_of(const struct stat& about, std::time_t now) {
  char text[80];
  std::snprintf(text, sizeof text, "%s\"%llx-%llx.%lx-%llx\"", now - about.st_mtim.tv_sec < 2 ? "W/" : "",
                static_cast<unsigned long long>(about.st_size), static_cast<unsigned long long>(about.st_mtim.tv_sec),
                static_cast<unsigned long>(about.st_mtim.tv_nsec), static_cast<unsigned long long>(about.st_ino));
  return {text, about.st_mtim.tv_sec};
}

std::string http_date(std::time_t when) {
  std::tm parts{};
  char text[40];
  if (::gmtime_r(&when, &parts) == nullptr) return {};
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

std::optional<std::time_t> read_date(std::string_view text) {
  const std::string copy(text);
  for (const char* const form : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"}) {
    std::tm parts{};
    const char* const end = ::strptime(copy.c_str(), form, &parts);
    if (end == copy.c_str() + copy.size()) return ::timegm(&parts);
  }
  return std::nullopt;
}

int evaluate(const http::request& r, const validators& current) {
  if (has_field(r, "If-Match")) {
    if (!any_matches(r, "If-Match", current.tag, true)) return 412;
  } else if (const auto since = read_date(r.value_of("If-Unmodified-Since")); since && current.modified > *since) {
    return 412;
  }
  if (has_field(r, "If-None-Match")) return any_matches(r, "If-None-Match", current.tag, false) ? 304 : 200;
  const auto since = read_date(r.value_of("If-Modified-Since"));
  return since && current.modified <= *since ? 304 : 200;
}

bool range_applies(const http::request& r, const validators& current) {
  if (!has_field(r, "If-Range")) return true;
  const std::string_view wanted = r.value_of("If-Range");
  if (const auto date = read_date(wanted)) return !is_weak(current.tag) && *date == current.modified;
  return !is_weak(current.tag) && wanted == current.tag;
}

}  // namespace static_files
