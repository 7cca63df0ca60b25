// Internal: how baton describes an exception in its own messages.
#pragma once

#include <cstddef>
#include <exception>

namespace baton::detail {

// Writes what() of a std::exception (cut if it is long), or the type name of any other object, into the buffer. Does
// not allocate.
void describe_exception(const std::exception_ptr& e, char* buffer, std::size_t size) noexcept;

}  // namespace baton::detail
