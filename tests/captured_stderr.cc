// gtest captures standard error by putting a file in the place of descriptor 2. The runtime must be told (reports.h);
// tests/CMakeLists.txt has the linker send gtest's two functions here.
#include <baton/runtime/reports.h>

#include <string>

void real_capture() __asm__("__real__ZN7testing8internal13CaptureStderrEv");
std::string real_get_captured() __asm__("__real__ZN7testing8internal17GetCapturedStderrB5cxx11Ev");
void capture() __asm__("__wrap__ZN7testing8internal13CaptureStderrEv");
std::string get_captured() __asm__("__wrap__ZN7testing8internal17GetCapturedStderrB5cxx11Ev");

void capture() {
  real_capture();
  baton::report_to_stderr();
}

std::string get_captured() {
  std::string text = real_get_captured();
  baton::report_to_stderr();
  return text;
}
