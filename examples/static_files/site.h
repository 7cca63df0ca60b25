// A folder as a site: what a path names, and how it is answered.
#pragma once

#include "http/output.h"
#include "http/request.h"

#include <baton/baton.h>

#include <string>

namespace static_files {

class site {
 public:
  // `root` is a descriptor of the folder. Nothing outside of it is ever served: see http/files.h.
  explicit site(baton::sys::owned_fd root);

  // Answers the request: head and content. A folder is answered by its index.html, or else by a list of what it has.
  // Switches.
  void answer(const http::request& r, http::output& out) const;

 private:
  void serve_file(const http::request& r, const std::string& path, baton::file& file, http::output& out) const;
  void serve_folder(const http::request& r, const std::string& path, const baton::file& folder,
                    http::output& out) const;

  const baton::sys::owned_fd root_;
};

}  // namespace static_files
