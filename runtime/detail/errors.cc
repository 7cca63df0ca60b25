#include <baton/runtime/detail/errors.h>

#include <baton/sched/log/plain_text.h>

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <typeinfo>

namespace baton::detail {

void describe_exception(const std::exception_ptr& e, char* buffer, std::size_t size) noexcept {
  if (!e) {
    std::snprintf(buffer, size, "none");
    return;
  }
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& x) {
    const char* const what = x.what();
    const std::string_view text = what != nullptr ? what : "(null)";
    std::snprintf(buffer, size, "%.*s", static_cast<int>(sched::whole_characters(text, size - 1)), text.data());
  } catch (...) {
    const std::type_info* const type = abi::__cxa_current_exception_type();
    char* const readable = type != nullptr ? abi::__cxa_demangle(type->name(), nullptr, nullptr, nullptr) : nullptr;
    const char* const name = readable != nullptr ? readable : type != nullptr ? type->name() : "unknown";
    std::snprintf(buffer, size, "an object of type %s", name);
    std::free(readable);
  }
}

}  // namespace baton::detail
