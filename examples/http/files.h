// Files of a folder as responses.
#pragma once

#include "http/output.h"
#include "http/request.h"

#include <baton/baton.h>

#include <sys/types.h>
#include <cstddef>
#include <string>
#include <string_view>

namespace http {

// The bytes of a file that a response has.
struct extent {
  off_t offset = 0;
  std::size_t size = 0;
};

// Opens a file or a folder below the folder `root`, and nothing else: the kernel refuses every path that would leave
// the root, by "..", by an absolute path or by a symbolic link, at any time. Returns accepted, or the status to answer
// with. Switches.
[[nodiscard]] int open_below(int root, const std::string& path, baton::file& opened);

// Answers with a piece of the file; `fields` are further lines of the head. Small pieces are copied, so that pipelined
// responses leave in one write; the kernel sends large ones. Switches.
void respond_with_file(const request& r, int status, std::string_view fields, std::string_view type, baton::file& file,
                       extent piece, output& out);

}  // namespace http
