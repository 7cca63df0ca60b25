# What baton needs of the system and of the compiler's options, in one sentence each (sched/requirements.h says the
# same to a program), and the standard of all targets here.
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  message(FATAL_ERROR "baton runs on Linux only, not on ${CMAKE_SYSTEM_NAME}")
endif()

# C++20, or a later one that CMAKE_CXX_STANDARD names. A project with an older one can still add this directory.
if(NOT CMAKE_CXX_STANDARD MATCHES "^2[0-9]$")
  set(CMAKE_CXX_STANDARD 20)
endif()
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

# The variable's name holds the flags: a change of theirs is checked anew.
string(MD5 baton_flags "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_COMPILER}")
check_cxx_source_compiles("int main() { try { throw 1; } catch (int) {} }" BATON_EXCEPTIONS_${baton_flags})
if(NOT BATON_EXCEPTIONS_${baton_flags})
  message(FATAL_ERROR "baton needs C++ exceptions: configure without -fno-exceptions in CMAKE_CXX_FLAGS")
endif()
