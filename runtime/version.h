// Public API: the version of these headers, the one place that says it. CMake and baton.pc read it here.
#pragma once

#define BATON_VERSION_MAJOR 0
#define BATON_VERSION_MINOR 2
#define BATON_VERSION_PATCH 0

// One number that grows with each version: 0.2.0 is 200, 1.4.7 is 10407.
#define BATON_VERSION (BATON_VERSION_MAJOR * 10000 + BATON_VERSION_MINOR * 100 + BATON_VERSION_PATCH)

// "0.2.0".
#define BATON_VERSION_STRING              \
  BATON_VERSION_TEXT(BATON_VERSION_MAJOR) \
  "." BATON_VERSION_TEXT(BATON_VERSION_MINOR) "." BATON_VERSION_TEXT(BATON_VERSION_PATCH)
#define BATON_VERSION_TEXT(number) BATON_VERSION_TEXT_OF(number)
#define BATON_VERSION_TEXT_OF(number) #number
