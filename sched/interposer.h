// How baton and the preloaded library of syscall/interpose/ find each other. A program that links that library's
// wrappers needs nothing of this: there they call declared_call.h.
#pragma once

namespace baton::sched {

class call_site;

// What the wrappers need: the functions of declared_call.h and call_site.h.
struct foreign_calls {
  bool (*counts)() noexcept;
  call_site& (*site_of)(const char* name, void* to) noexcept;
  bool (*blocks)(const call_site& site) noexcept;
  bool (*begin)(call_site& site) noexcept;
  void (*end)() noexcept;
};

// Changes with foreign_calls: the library and the program may be of two versions.
inline constexpr unsigned foreign_calls_version = 1;

// The preloaded library exports this function under the name attach_name. It returns true if it will use the functions:
// they are of its version, and no other baton in the process came first.
using attach_function = bool (*)(unsigned version, const foreign_calls* functions) noexcept;
inline constexpr const char* attach_name = "baton_interpose_attach";

// Offers the functions to the library, if it has been preloaded.
void attach_interposer() noexcept;

}  // namespace baton::sched
