// gtest captures standard error by putting a file in the place of descriptor 2. The runtime must be told (reports.h);
// tests/CMakeLists.txt has the linker send gtest's two functions here.
#include <baton/runtime/reports.h>

#include <string>

extern "C" {
void __real__ZN7testing8internal13CaptureStderrEv();
std::string __real__ZN7testing8internal17GetCapturedStderrB5cxx11Ev();

void __wrap__ZN7testing8internal13CaptureStderrEv() {
  __real__ZN7testing8internal13CaptureStderrEv();
  baton::report_to_stderr();
}

std::string __wrap__ZN7testing8internal17GetCapturedStderrB5cxx11Ev() {
  std::string text = __real__ZN7testing8internal17GetCapturedStderrB5cxx11Ev();
  baton::report_to_stderr();
  return text;
}
}
