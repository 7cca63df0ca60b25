// What baton needs of the compiler and its options, in one sentence each instead of a page of errors from its headers.
// Headers that need exceptions include this before everything else.
#pragma once

#if !defined(__cpp_exceptions)
#error "baton needs C++ exceptions: compile without -fno-exceptions"
#elif __cplusplus < 202002L
#error "baton needs C++20: compile with -std=c++20"
#include <nothing more>  // a missing file ends the compilation, and the page of errors with it
#elif !defined(__linux__)
#error "baton runs on Linux only"
#endif
