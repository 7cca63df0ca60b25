// What baton says about exceptions when it has to speak of them itself.
#pragma once

#include <cstddef>
#include <exception>

namespace baton::detail {

// Writes what() of a std::exception (cut if it is long), else the name of what was thrown, into the
// buffer. Does not allocate.
void describe_exception(const std::exception_ptr& e, char* buffer, std::size_t size) noexcept;

}  // namespace baton::detail
