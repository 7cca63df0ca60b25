// The field Range: RFC 9110, section 14. Pure functions.
#pragma once

#include <cstdint>
#include <string_view>

namespace static_files {

struct byte_range {
  // all: the field is to be ignored, because it has another unit, several ranges, or is none. The answer is the whole.
  // unsatisfiable: no byte of the content is in it (416).
  enum class kind { all, part, unsatisfiable };
  kind is = kind::all;
  std::uint64_t first = 0, size = 0;  // of a part
};

// Reads "bytes=FIRST-LAST", "bytes=FIRST-" or "bytes=-SUFFIX" for a content of so many bytes.
[[nodiscard]] byte_range read_range(std::string_view field, std::uint64_t content_size);

}  // namespace static_files
