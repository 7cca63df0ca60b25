# Defines
#   baton_warnings            interface target: warnings, for this repository's own code only
#   baton_public_flags        compile and
#   baton_public_link_flags     link flags that baton and everything linked with it must share
add_library(baton_warnings INTERFACE)
target_compile_options(baton_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
  $<$<COMPILE_LANG_AND_ID:CXX,Clang,AppleClang>:-Wthread-safety>
  $<$<COMPILE_LANG_AND_ID:CXX,Clang,AppleClang>:-Werror=thread-safety>
  $<$<BOOL:${BATON_WERROR}>:-Werror>)

set(baton_public_flags)
set(baton_public_link_flags)

if(BATON_SANITIZE STREQUAL "address")
  # vptr: where descriptors run out (which tests provoke) its look at an object fails, and it cries wolf.
  set(baton_sanitize_flags -fsanitize=address,undefined -fno-sanitize=vptr)
elseif(BATON_SANITIZE MATCHES "^(thread|undefined)$")
  set(baton_sanitize_flags -fsanitize=${BATON_SANITIZE})
elseif(BATON_SANITIZE STREQUAL "")
  set(baton_sanitize_flags)
else()
  message(FATAL_ERROR "BATON_SANITIZE is \"${BATON_SANITIZE}\"; it can be empty, address, thread or undefined")
endif()
if(BATON_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  message(WARNING "this gcc's ThreadSanitizer dies at 8,128 fibers; use clang++")
endif()
if(baton_sanitize_flags)
  list(APPEND baton_public_flags ${baton_sanitize_flags} -fno-omit-frame-pointer)
  list(APPEND baton_public_link_flags ${baton_sanitize_flags})
endif()
if(BATON_STACK_CLASH_PROTECTION)
  list(APPEND baton_public_flags -fstack-clash-protection)
endif()
