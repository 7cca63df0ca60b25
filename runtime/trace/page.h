// A recording as a page of its own: a picture with lanes of Ps and Ms, each fiber's story, the figures. It needs no
// network. Internal to the tools.
#pragma once

#include <baton/runtime/trace/recording.h>

#include <absl/status/status.h>
#include <cstdint>
#include <ostream>
#include <string>

namespace baton::trace {

// Which part of a recording a page shows. A page with more than a few million events opens slowly.
struct window {
  std::int64_t from_ns = 0;
  std::int64_t to_ns = INT64_MAX;
};

// Writes the page. title: the name of the recording.
void write_page(const recording& r, const std::string& title, window shown, std::ostream& out);

}  // namespace baton::trace
