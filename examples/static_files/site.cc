#include "site.h"

#include "byte_range.h"
#include "media_type.h"
#include "preconditions.h"

#include "http/files.h"
#include "http/response.h"
#include "http/text.h"
#include "http/uri.h"

#include <sys/stat.h>
#include <ctime>
#include <string_view>
#include <utility>

namespace static_files {

namespace {

// For a text of a page, also in an attribute's quotes.
std::string html_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '&': escaped += "&amp;"; break;
      case '"': escaped += "&quot;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

std::string line_of(std::string_view name, std::string_view value) {
  return std::string(name).append(": ").append(value).append("\r\n");
}

std::string content_range(std::string_view what, std::size_t size) {
  return line_of("Content-Range", std::string("bytes ").append(what).append("/").append(std::to_string(size)));
}

}  // namespace

site::site(baton::sys::owned_fd root) : root_(std::move(root)) {}

void site::answer(const http::request& r, http::output& out) const {
  if (http::refuse_method(r, out)) return;
  auto path = http::percent_decoded(r.path);
  if (!path) return respond_with_error(r, 400, out);
  path->erase(0, path->find_first_not_of('/'));  // so that no redirect begins with "//", which would name a host
  const bool names_folder = path->empty() || path->back() == '/';
  baton::file opened;
  if (const int status = http::open_below(root_.get(), path->empty() ? "." : *path, opened); status != http::accepted) {
    return respond_with_error(r, status, out);
  }
  const auto about = opened.stat();
  if (!about.ok()) return respond_with_error(r, 500, out);
  if (S_ISREG(about->st_mode)) return serve_file(r, *path, opened, out);
  if (!S_ISDIR(about->st_mode)) return respond_with_error(r, 403, out);
  if (!names_folder) {  // the links of its page are relative to it
    std::string target = "/" + http::percent_encoded(*path) + "/";
    if (!r.query.empty()) target.append("?").append(r.query);
    return respond_with_error(r, 301, out, line_of("Location", target));
  }
  baton::file index;
  const std::string index_path = *path + "index.html";
  const int status = http::open_below(root_.get(), index_path, index);
  if (status == http::accepted) return serve_file(r, index_path, index, out);
  if (status != 404) return respond_with_error(r, status, out);
  serve_folder(r, *path, opened, out);
}

void site::serve_file(const http::request& r, const std::string& path, baton::file& file, http::output& out) const {
  const auto about = file.stat();
  if (!about.ok() || !S_ISREG(about->st_mode)) return respond_with_error(r, 403, out);
  const auto size = static_cast<std::size_t>(about->st_size);
  const validators current = validators_of(*about, std::time(nullptr));
  std::string fields = line_of("ETag", current.tag) + line_of("Last-Modified", http_date(current.modified)) +
                       "Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n";
  const int status = evaluate(r, current);
  if (status == 304) return append_head(r, 304, fields, {}, 0, out);
  if (status != 200) return respond_with_error(r, status, out, fields);

  const bool asks_for_part = r.method == "GET" && range_applies(r, current);
  const byte_range part = asks_for_part ? read_range(r.value_of("Range"), size) : byte_range{};
  if (part.is == byte_range::kind::unsatisfiable) {
    return respond_with_error(r, 416, out, fields + content_range("*", size));
  }
  if (part.is == byte_range::kind::all) {
    return respond_with_file(r, 200, fields, media_type(path), file, {0, size}, out);
  }
  fields += content_range(std::to_string(part.first) + "-" + std::to_string(part.first + part.size - 1), size);
  respond_with_file(r, 206, fields, media_type(path), file,
                    {static_cast<off_t>(part.first), static_cast<std::size_t>(part.size)}, out);
}

void site::serve_folder(const http::request& r, const std::string& path, const baton::file& folder,
                        http::output& out) const {
  const auto entries = baton::read_directory("/proc/self/fd/" + std::to_string(folder.native_handle()));
  if (!entries.ok()) return respond_with_error(r, 500, out);
  const std::string title = html_escaped("/" + path);
  std::string page = "<!DOCTYPE html><meta charset=utf-8><title>" + title + "</title><h1>" + title + "</h1><ul>\n";
  if (!path.empty()) page += "<li><a href=\"../\">../</a>\n";
  for (const auto& e : *entries) {
    const std::string name = e.is_directory() ? e.name + "/" : e.name;
    // "./": a name may have a colon, and would be a URI with a scheme.
    page += "<li><a href=\"./" + http::percent_encoded(name) + "\">" + html_escaped(name) + "</a>\n";
  }
  respond(r, 200, "text/html; charset=utf-8", page + "</ul>\n", out);
}

}  // namespace static_files
