// Says what a recording of baton's scheduler shows: histograms and the ten longest of each kind, as text.
//
//   trace_stats FILE.btrace            figures
//   trace_stats --check FILE.btrace    replays the events against the scheduler's rules: exit code 1 if one is broken
#include <baton/runtime/trace/figures.h>
#include <baton/runtime/trace/recording.h>
#include <baton/runtime/trace/rules.h>

#include <cstdio>
#include <cstring>
#include <string>

namespace {

int usage() {
  std::fputs("usage: trace_stats [--check] FILE.btrace\n", stderr);
  return 2;
}

int report_check(const baton::trace::recording& r) {
  if (r.lost != 0) {
    std::fprintf(stderr, "%llu events were lost: this recording cannot be checked\n",
                 static_cast<unsigned long long>(r.lost));
    return 2;
  }
  const baton::trace::verdict v = baton::trace::check(r);
  if (!v.begun) {
    std::fputs("the recording holds no event after its beginning: nothing can be checked\n", stderr);
    return 2;
  }
  for (const std::string& one : v.violations) std::printf("%s\n", one.c_str());
  std::printf("%zu events checked, %zu violations\n", v.checked, v.violations.size());
  return v.violations.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const bool checks = argc > 1 && std::strcmp(argv[1], "--check") == 0;
  if (argc != (checks ? 3 : 2)) return usage();
  const auto r = baton::trace::read_recording(argv[argc - 1]);
  if (!r.ok()) {
    std::fprintf(stderr, "trace_stats: %s\n", r.status().ToString().c_str());
    return 2;
  }
  if (checks) return report_check(*r);
  std::fputs(to_text(*r, figures_of(*r)).c_str(), stdout);
  return 0;
}
