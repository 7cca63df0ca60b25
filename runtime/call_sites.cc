#include <baton/runtime/call_sites.h>

#include <baton/sched/call_site.h>
#include <baton/sched/closure_name.h>
#include <baton/sched/rescue_report.h>
#include <baton/sched/unwind/stack_trace.h>

#include <cstdio>
#include <string>

namespace baton {

namespace {

std::string place_of(const sched::call_site::history& h) {
  char text[256];
  if (h.system_call >= 0) {
    const char* const name = sched::name_of_syscall(h.system_call);
    std::snprintf(text, sizeof text, "%s (syscall %ld)", name != nullptr ? name : "a call", h.system_call);
    return text;
  }
  std::string place(h.name != nullptr ? sched::closure_in(h.name) : "enter_syscall");
  if (h.address == nullptr) return place;
  // Compilers give all lambdas of a function the same name: the address tells them apart.
  place += h.name != nullptr ? ", called in " : " in ";
  return place.append(text, sched::format_frame(h.address, text));
}

}  // namespace

std::vector<call_site_history> call_sites() {
  std::vector<call_site_history> all;
  sched::call_site::for_each(
      [](const sched::call_site::history& h, void* out) {
        call_site_history one;
        one.place = place_of(h);
        one.expected_to_block = h.expected == sched::call_site::verdict::blocks;
        one.handed_over = h.handed_over;
        one.retaken = h.retaken;
        one.timed_long = h.timed_long;
        one.timed_short = h.timed_short;
        static_cast<std::vector<call_site_history>*>(out)->push_back(std::move(one));
      },
      &all);
  return all;
}

std::string to_string(const call_site_history& h) {
  std::string line = h.expected_to_block ? "blocks  " : "short   ";
  line += "handed over " + std::to_string(h.handed_over) + ", retaken " + std::to_string(h.retaken) + ", timed " +
          std::to_string(h.timed_long) + " long " + std::to_string(h.timed_short) + " short  " + h.place;
  return line;
}

}  // namespace baton
