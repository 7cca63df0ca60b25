#include "http/response.h"

#include <algorithm>
#include <iterator>
#include <string>

namespace http {

namespace {

bool is_known_method(std::string_view method) {
  constexpr std::string_view known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  return std::find(std::begin(known), std::end(known), method) != std::end(known);
}

}  // namespace

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 426: return "Upgrade Required";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
  }
}

void append_head(const request& r, int status, std::string_view fields, std::string_view type, std::size_t length,
                 output& out) {
  out << "HTTP/1.1 " << static_cast<std::size_t>(status) << " " << reason(status) << "\r\n" << out.date() << fields;
  if (!r.keep_alive) {
    out << "Connection: close\r\n";
  } else if (r.minor_version == 0) {
    out << "Connection: keep-alive\r\n";
  }
  if (!type.empty()) out << "Content-Type: " << type << "\r\nContent-Length: " << length << "\r\n";
  out << "\r\n";
}

void respond(const request& r, int status, std::string_view type, std::string_view content, output& out) {
  append_head(r, status, {}, type, content.size(), out);
  if (r.method != "HEAD") out << content;
}

void respond_with_text(const request& r, int status, std::string_view text, output& out) {
  respond(r, status, "text/plain", text, out);
}

void respond_with_error(const request& r, int status, output& out, std::string_view fields) {
  const std::string text = std::string(reason(status)) + "\n";
  append_head(r, status, fields, "text/plain", text.size(), out);
  if (r.method != "HEAD") out << text;
}

bool refuse_method(const request& r, output& out) {
  if (r.method == "GET" || r.method == "HEAD") return false;
  if (is_known_method(r.method)) {
    respond_with_error(r, 405, out, "Allow: GET, HEAD\r\n");
  } else {
    respond_with_error(r, 501, out);
  }
  return true;
}

}  // namespace http
