#include "media_type.h"

#include "http/text.h"

namespace static_files {

std::string_view media_type(std::string_view path) {
  constexpr struct {
    std::string_view end, type;
  } types[] = {
      {"html", "text/html; charset=utf-8"},
      {"htm", "text/html; charset=utf-8"},
      {"css", "text/css; charset=utf-8"},
      {"js", "text/javascript; charset=utf-8"},
      {"mjs", "text/javascript"},
      {"json", "application/json"},
      {"txt", "text/plain; charset=utf-8"},
      {"md", "text/markdown; charset=utf-8"},
      {"xml", "application/xml"},
      {"svg", "image/svg+xml"},
      {"png", "image/png"},
      {"jpg", "image/jpeg"},
      {"jpeg", "image/jpeg"},
      {"gif", "image/gif"},
      {"webp", "image/webp"},
      {"ico", "image/x-icon"},
      {"pdf", "application/pdf"},
      {"wasm", "application/wasm"},
      {"mp4", "video/mp4"},
      {"mp3", "audio/mpeg"},
      {"woff2", "font/woff2"},
      {"gz", "application/gzip"},
  };
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const std::size_t dot = name.rfind('.');
  if (dot != std::string_view::npos) {
    for (const auto& t : types) {
      if (http::equal_ignoring_case(name.substr(dot + 1), t.end)) return t.type;
    }
  }
  return "application/octet-stream";
}

}  // namespace static_files
