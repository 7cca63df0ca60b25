// The media type of a file, by the end of its name.
#pragma once

#include <string_view>

namespace static_files {

[[nodiscard]] std::string_view media_type(std::string_view path);

}  // namespace static_files
