// The target of a request: what follows the method in its first line.
#pragma once

#include "http/request.h"

#include <string_view>

namespace http {

// Reads one of the four forms of RFC 9112, section 3.2. `r.method` has to be set: two forms belong to one method each.
// The target is not empty. Returns false if it has none of the forms.
[[nodiscard]] bool read_target(std::string_view target, request& r);

}  // namespace http
