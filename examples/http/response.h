// Responses, as text in the output of a connection.
#pragma once

#include "http/output.h"
#include "http/request.h"

#include <cstddef>
#include <string_view>

namespace http {

// "Not Found" for 404.
[[nodiscard]] std::string_view reason(int status);

// Appends the head of a response. `fields` are further lines, each with its "\r\n". A type that is empty stands for a
// response without content (204, 304), which has no length either.
void append_head(const request& r, int status, std::string_view fields, std::string_view type, std::size_t length,
                 output& out);

// Appends a response. A request for the head (HEAD) gets no content.
void respond(const request& r, int status, std::string_view type, std::string_view content, output& out);
void respond_with_text(const request& r, int status, std::string_view text, output& out);

// Answers with a short text that says what the status means. The request may be one that could not be read.
void respond_with_error(const request& r, int status, output& out, std::string_view fields = {});

// Refuses every method but GET and HEAD, and returns true then.
[[nodiscard]] bool refuse_method(const request& r, output& out);

}  // namespace http
