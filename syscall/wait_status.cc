#include <baton/syscall/wait_status.h>

#include <csignal>
#include <cstring>
#include <string>

namespace baton::sys {

namespace {

std::string name_of_signal(int number) {
  if (const char* const short_name = ::sigabbrev_np(number)) return std::string("SIG").append(short_name);
  if (number >= SIGRTMIN && number <= SIGRTMAX) return "SIGRTMIN+" + std::to_string(number - SIGRTMIN);
  return "signal " + std::to_string(number);
}

}  // namespace

std::string wait_status::to_string() const {
  if (exited()) return "exit code " + std::to_string(code());
  if (signaled()) return "killed by " + name_of_signal(signal()) + (core_dumped() ? " (core dumped)" : "");
  if (stopped()) return "stopped by " + name_of_signal(stop_signal());
  if (continued()) return "continued";
  return "wait status " + std::to_string(word_);
}

}  // namespace baton::sys
