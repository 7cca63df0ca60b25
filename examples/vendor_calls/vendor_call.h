// The two ways to declare a vendor's calls, side by side.
//
// scopes       The program knows which of its calls may block, and puts baton::blocking() around each. That is one
//              declared call for all that the library does in there, and it costs 4 ns.
// interposed   The program calls the library as it is. The library's own calls of recv(), poll(), fcntl() and so on are
//              declared by baton::interpose, which the program is linked with: some nanoseconds for each of them.
//              Within a scope the wrappers do nothing.
#pragma once

#include <baton/baton.h>

#include <utility>

inline bool interposed = false;  // set once, before the first fiber

// Calls f(), which calls a vendor's library.
template <class F>
decltype(auto) vendor_call(F&& f) {
  if (interposed) return std::forward<F>(f)();
  return baton::blocking(std::forward<F>(f));
}

// The same, where what the call leaves behind belongs to its thread. An interposed call never changes threads.
template <class F>
decltype(auto) pinned_vendor_call(F&& f) {
  if (interposed) return std::forward<F>(f)();
  return baton::pinned_blocking(std::forward<F>(f));
}
