// Which sanitizer this code is compiled with: BATON_TSAN and BATON_ASAN are 1 or 0.
//
// baton's headers hold a part of the scheduler. A program must be compiled with the same sanitizer as the library.
// Otherwise ThreadSanitizer reports false races, and AddressSanitizer does not follow a switch of stacks. So each
// translation unit names an object that only a library of the same kind defines (sanitizers.cc). If the kinds differ,
// the program does not link, and the name of the object says what to do. UndefinedBehaviorSanitizer needs no such
// agreement.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define BATON_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BATON_TSAN 1
#endif
#endif
#ifndef BATON_TSAN
#define BATON_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define BATON_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BATON_ASAN 1
#endif
#endif
#ifndef BATON_ASAN
#define BATON_ASAN 0
#endif

#if BATON_TSAN
#define BATON_KIND_OF_LIBRARY baton_was_built_without_ThreadSanitizer_so_set_its_CMake_option_BATON_SANITIZE_to_thread
#elif BATON_ASAN
#define BATON_KIND_OF_LIBRARY baton_was_built_without_AddressSanitizer_so_set_its_CMake_option_BATON_SANITIZE_to_address
#else
#define BATON_KIND_OF_LIBRARY \
  baton_was_built_with_a_sanitizer_so_use_it_here_or_set_its_CMake_option_BATON_SANITIZE_to_empty
#endif

extern "C" const char BATON_KIND_OF_LIBRARY;

namespace baton::sched::platform {

// No code uses it. It makes the linker look for the object. retain: also with --gc-sections.
#if __has_attribute(retain)
__attribute__((used, retain))
#else
__attribute__((used))
#endif
inline const char* const kind_of_library = &BATON_KIND_OF_LIBRARY;

}  // namespace baton::sched::platform
