// Says what a recording of baton's scheduler shows: histograms and the ten longest of each kind, as text.
//
//   trace_stats FILE.btrace            figures
//   trace_stats --page OUT.html FILE.btrace [FROM TO]   writes a page with a picture; FROM and TO: seconds
//   trace_stats --check FILE.btrace    replays the events against the scheduler's rules: exit code 1 if one is broken
#include <baton/runtime/trace/figures.h>
#include <baton/runtime/trace/page.h>
#include <baton/runtime/trace/recording.h>
#include <baton/runtime/trace/rules.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace {

int usage() {
  std::fputs("usage: trace_stats [--check] FILE.btrace\n       trace_stats --page OUT.html FILE.btrace [FROM TO]\n",
             stderr);
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

bool to_ns(const char* seconds, std::int64_t& ns) {
  char* end = nullptr;
  const double s = std::strtod(seconds, &end);
  ns = static_cast<std::int64_t>(s * 1e9);
  return end != seconds && *end == '\0' && s >= 0 && s < 1e9;
}

int make_page(int argc, char** argv) {
  baton::trace::window shown;
  if (argc != 4 && argc != 6) return usage();
  if (argc == 6 && (!to_ns(argv[4], shown.from_ns) || !to_ns(argv[5], shown.to_ns))) return usage();
  const auto r = baton::trace::read_recording(argv[3]);
  if (!r.ok()) {
    std::fprintf(stderr, "trace_stats: %s\n", r.status().ToString().c_str());
    return 2;
  }
  std::ofstream out(argv[2], std::ios::binary);
  const char* const name = std::strrchr(argv[3], '/');
  write_page(*r, name != nullptr ? name + 1 : argv[3], shown, out);
  out.close();
  if (out) return 0;
  std::fprintf(stderr, "trace_stats: write %s: %s\n", argv[2], std::strerror(errno));
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--page") == 0) return make_page(argc, argv);
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
