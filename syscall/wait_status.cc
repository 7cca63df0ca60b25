#include <baton/syscall/wait_status.h>

#include <csignal>
#include <cstring>

namespace baton::sys {
namespace {

std::string name_of_signal(int number) {
  if (const char* name = ::sigabbrev_np(number); name != nullptr) return std::string("SIG") + name;
  if (number >= SIGRTMIN && number <= SIGRTMAX) return "SIGRTMIN+" + std::to_string(number - SIGRTMIN);
  return "signal " + std::to_string(number);
}

}  // namespace

std::string wait_status::to_string() const {
  if (exited()) return "exit code " + std::to_string(code());
  if (signaled()) return "killed by " + name_of_signal(signal()) + (core_dumped() ? ", core dumped" : "");
  if (stopped()) return "stopped by " + name_of_signal(stop_signal());
  if (continued()) return "continued";
  return "no change";
}

}  // namespace baton::sys
