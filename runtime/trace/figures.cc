#include <baton/runtime/trace/figures.h>

#include <baton/sched/wait_reason.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <utility>

namespace baton::trace {

namespace {

using namespace sched::trace;

constexpr std::size_t longest_kept = 10;

class reckoner {
 public:
  explicit reckoner(const recording& r) : r_(r) {}
  figures run() {
    for (const recorded& e : r_.events) {
      ++out_.events[name_of(e.what)];
      step(e);
    }
    if (!r_.events.empty()) out_.span_ns = r_.events.back().at_ns;
    return std::move(out_);
  }

 private:
  struct fiber {
    std::int64_t parked = -1, ready = -1, returned = -1, call = -1;
    std::uint8_t reason = 0;
    std::uint64_t site = 0;
  };
  struct move {
    const char* cause = nullptr;
    std::int64_t at = 0;
  };

  void step(const recorded& e) {
    switch (e.what) {
      case kind::park: {
        fiber& f = fibers_[e.subject];
        f.parked = e.at_ns;
        f.reason = e.detail;
        break;
      }
      case kind::ready: readied(e); break;
      case kind::spawn: fibers_[e.subject].ready = e.at_ns; break;
      case kind::queue_return: fibers_[e.subject].returned = e.at_ns; break;
      case kind::run: runs(e); break;
      case kind::end: fibers_.erase(e.subject); break;
      case kind::call_begin: {
        fiber& f = fibers_[e.subject];
        f.call = e.at_ns;
        f.site = e.object;
        site_figures& s = out_.sites[r_.site_name(e.object)];
        ++s.calls;
        if (static_cast<entry>(e.detail) != entry::kept) ++s.handed_over;
        break;
      }
      case kind::call_end: call_ends(e); break;
      case kind::p_left: left_[e.p] = {cause_of_leaving(e.detail), e.at_ns}; break;
      case kind::p_revoked: left_[e.p] = {cause_of_revoking(e.detail), e.at_ns}; break;
      case kind::p_taken: {
        // A P that was idle was not handed on.
        const auto from = left_.find(e.p);
        if (from != left_.end() && from->second.cause != nullptr) taken_[e.ring] = from->second;
        left_.erase(e.p);
        break;
      }
      default: break;
    }
  }

  void readied(const recorded& e) {
    if (static_cast<woke>(e.detail) == woke::early) return;
    fiber& f = fibers_[e.subject];
    f.ready = e.at_ns;
    if (f.parked < 0) return;
    const auto why = static_cast<sched::wait_reason>(f.reason);
    out_.waits[sched::name_of(why)].add(
        {e.at_ns - f.parked, f.parked, e.subject, "fiber " + r_.fiber_label(e.subject)});
    f.parked = -1;
  }

  void runs(const recorded& e) {
    fiber& f = fibers_[e.subject];
    const std::string who = "fiber " + r_.fiber_label(e.subject);
    if (f.ready >= 0) out_.ready_to_run.add({e.at_ns - f.ready, f.ready, e.subject, who});
    if (f.returned >= 0) out_.return_to_run.add({e.at_ns - f.returned, f.returned, e.subject, who});
    f.ready = f.returned = -1;
    const auto moved = taken_.find(e.ring);
    if (moved == taken_.end()) return;
    // The P went on at once only if it was not idle in between: idle is a cause of its own.
    const move m = moved->second;
    taken_.erase(moved);
    if (std::string_view(m.cause) == "idle") return;
    out_.handoffs[m.cause].add({e.at_ns - m.at, m.at, e.subject, "P " + std::to_string(e.p) + ", to " + who});
  }

  void call_ends(const recorded& e) {
    fiber& f = fibers_[e.subject];
    if (f.call < 0) return;
    site_figures& s = out_.sites[r_.site_name(f.site)];
    s.took.add({e.at_ns - f.call, f.call, e.subject, "fiber " + r_.fiber_label(e.subject)});
    if (e.detail != 0) ++s.lost;
    f.call = -1;
  }

  const recording& r_;
  figures out_;
  std::unordered_map<std::uint64_t, fiber> fibers_;
  std::unordered_map<std::uint16_t, move> left_;   // Ps without an M
  std::unordered_map<std::uint32_t, move> taken_;  // by the M that took it and has not run a fiber on it yet
};

std::string of_time(std::int64_t ns) {
  char text[32];
  const auto t = static_cast<double>(ns);
  if (ns < 1'000) {
    std::snprintf(text, sizeof text, "%lld ns", static_cast<long long>(ns));
  } else if (ns < 1'000'000) {
    std::snprintf(text, sizeof text, "%.1f us", t / 1e3);
  } else if (ns < 1'000'000'000) {
    std::snprintf(text, sizeof text, "%.1f ms", t / 1e6);
  } else {
    std::snprintf(text, sizeof text, "%.2f s", t / 1e9);
  }
  return text;
}

// At least n characters wide.
std::string to_the_right(std::string text, std::size_t n) {
  if (text.size() < n) text.insert(0, n - text.size(), ' ');
  return text;
}
std::string to_the_left(std::string text, std::size_t n) {
  if (text.size() < n) text.append(n - text.size(), ' ');
  return text;
}
std::string column(std::size_t number) { return to_the_right(std::to_string(number), 9); }

void describe(std::string& out, const std::string& title, const distribution& d) {
  if (d.count() == 0) return;
  out += title + ": " + std::to_string(d.count()) + ", p50 " + of_time(d.percentile(0.5)) + ", p90 " +
         of_time(d.percentile(0.9)) + ", p99 " + of_time(d.percentile(0.99)) + ", longest " +
         of_time(d.longest().front().ns) + '\n';
  const std::size_t most = *std::max_element(d.buckets().begin(), d.buckets().end());
  for (std::size_t i = 0; i < d.buckets().size(); ++i) {
    if (d.buckets()[i] == 0) continue;
    const auto bar =
        static_cast<std::size_t>(std::ceil(40.0 * static_cast<double>(d.buckets()[i]) / static_cast<double>(most)));
    out += "  < " + to_the_left(of_time(std::int64_t{1} << i), 9) + column(d.buckets()[i]) + ' ' +
           std::string(bar, '#') + '\n';
  }
  out += "  longest:\n";
  for (const distribution::one& o : d.longest()) {
    char at[48];
    std::snprintf(at, sizeof at, "%.6f s  ", static_cast<double>(o.at_ns) / 1e9);
    out += "    " + to_the_left(of_time(o.ns), 10) + " at " + at + o.what + '\n';
  }
}

}  // namespace

void distribution::add(one o) {
  if (o.ns < 0) o.ns = 0;
  all_.push_back(o.ns);
  sorted_ = false;
  ++buckets_[std::min<std::size_t>(std::bit_width(static_cast<std::uint64_t>(o.ns)), buckets_.size() - 1)];
  if (longest_.size() == longest_kept && o.ns <= longest_.back().ns) return;
  const auto where =
      std::upper_bound(longest_.begin(), longest_.end(), o, [](const one& a, const one& b) { return a.ns > b.ns; });
  longest_.insert(where, std::move(o));
  if (longest_.size() > longest_kept) longest_.pop_back();
}

std::int64_t distribution::percentile(double share) const {
  if (!std::exchange(sorted_, true)) std::sort(all_.begin(), all_.end());
  const auto i = static_cast<std::size_t>(share * static_cast<double>(all_.size()));
  return all_[std::min(i, all_.size() - 1)];
}

const char* cause_of_leaving(std::uint8_t detail) noexcept {
  switch (static_cast<left>(detail)) {
    case left::idle: return "idle";
    case left::predicted: return "predicted";
    case left::unknown: return "unknown site";
    case left::hinted: return "hinted";
    case left::in_place: return "to a fiber in place";
    case left::overdue: return "slice overdue";
    case left::retired: return "retired P";
    case left::scattered: return "scatter mode";
    case left::locked_end: return "end of a locked fiber";
  }
  return "?";
}

const char* cause_of_revoking(std::uint8_t detail) noexcept {
  switch (static_cast<revoked>(detail)) {
    case revoked::retaken: return "retake";
    case revoked::blocked: return "rescue (blocked)";
    case revoked::computing: return "rescue (computes)";
    case revoked::retired: return "retired P";
  }
  return "?";
}

figures figures_of(const recording& r) { return reckoner(r).run(); }

std::string to_text(const recording& r, const figures& f) {
  std::string out = std::to_string(r.events.size()) + " events of " + std::to_string(r.threads.size()) +
                    " threads in " + of_time(f.span_ns);
  out += r.lost == 0 ? "; none was lost\n" : "; " + std::to_string(r.lost) + " more were LOST\n";
  if (!r.complete) out += "The recording was not ended in order: its end is missing.\n";
  out += "\nevents\n";
  for (const auto& [name, n] : f.events) {
    out += "  " + to_the_left(name, 14) + column(n) + '\n';
  }
  out += "\nhandoffs: from the thread that gives a P up to the fiber that runs on it, by cause\n";
  for (const auto& [cause, d] : f.handoffs) describe(out, cause, d);
  out += '\n';
  describe(out, "from ready to run", f.ready_to_run);
  describe(out, "from the end of a call to run", f.return_to_run);
  out += "\nwaits, by reason\n";
  for (const auto& [reason, d] : f.waits) describe(out, reason, d);
  out += "\ncall sites: calls, handed over at entry, P gone at the end, p50, p99, longest\n";
  for (const auto& [name, s] : f.sites) {
    const auto of = [&, &took = s.took](auto figure) {
      return to_the_right(took.count() > 0 ? of_time(figure(took)) : "-", 11);
    };
    out += ' ' + column(s.calls) + column(s.handed_over) + column(s.lost);
    out += of([](const distribution& d) { return d.percentile(0.5); });
    out += of([](const distribution& d) { return d.percentile(0.99); });
    out += of([](const distribution& d) { return d.longest().front().ns; }) + "  " + name + '\n';
  }
  return out;
}

const char* name_of(kind what) noexcept {
  switch (what) {
    case kind::nothing: return "nothing";
    case kind::spawn: return "spawn";
    case kind::name: return "name";
    case kind::park: return "park";
    case kind::unpark: return "unpark";
    case kind::ready: return "ready";
    case kind::yield: return "yield";
    case kind::end: return "end";
    case kind::call_begin: return "call begin";
    case kind::queue_return: return "queue return";
    case kind::p_left: return "P left";
    case kind::p_handed: return "P handed";
    case kind::p_revoked: return "P revoked";
    case kind::slice_told: return "slice told";
    case kind::sleep: return "sleep";
    case kind::thread_end: return "thread end";
    case kind::timers: return "timers";
    case kind::poll: return "poll";
    case kind::region_begin: return "region begin";
    case kind::region_end: return "region end";
    case kind::instant: return "instant";
    case kind::begun: return "begun";
    case kind::ended: return "ended";
    case kind::run: return "run";
    case kind::call_end: return "call end";
    case kind::p_taken: return "P taken";
    case kind::p_lost: return "P lost";
    case kind::steal: return "steal";
    case kind::wake: return "wake";
    case kind::thread_start: return "thread start";
  }
  return "?";
}

}  // namespace baton::trace
