// What Debian's newest libboost_fiber.a takes from libstdc++ 14 and an older one does not have. CMake compiles this
// file with -fno-inline.
#include <exception>
#include <system_error>

// The end of a noexcept function that throws. Weak: libstdc++'s own counts where there is one.
extern "C" [[noreturn, gnu::weak]] void __cxa_call_terminate(void* /*exception*/) { std::terminate(); }

// The archive has a copy of this constructor that calls newer functions of std::string. The linker takes the first
// copy, which is the one here, of this compiler's headers.
[[gnu::used]] void system_error_of_this_compiler() { throw std::system_error(std::error_code(), ""); }
