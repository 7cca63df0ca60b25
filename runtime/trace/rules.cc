#include <baton/runtime/trace/rules.h>

#include <baton/sched/trace/trace.h>

#include <cstdio>
#include <optional>
#include <unordered_map>

namespace baton::trace {

namespace {

using namespace sched::trace;

class replay {
 public:
  explicit replay(const recording& r) : r_(r) {}

  verdict run() {
    for (const recorded& e : r_.events) {
      if (e.what == kind::begun) {
        out_.begun = true;
        continue;
      }
      if (e.what == kind::ended) break;
      if (!out_.begun) continue;
      ++out_.checked;
      now_ = &e;
      step(e);
    }
    return std::move(out_);
  }

 private:
  enum class state : std::uint8_t { unknown, queued, runs, parked, ended };
  struct fiber {
    state is = state::unknown;
    std::uint32_t m = 0;               // where it runs
    std::optional<bool> in_call = {};  // not known before its first call
  };
  static constexpr std::uint32_t nobody = 0xFFFF'FFF0;
  struct machine {
    std::optional<std::uint16_t> p = {};      // no_p: none
    std::optional<std::uint64_t> fiber = {};  // 0: none
  };

  void violates(const std::string& what) {
    if (out_.violations.size() >= 100) return;
    char at[64];
    std::snprintf(at, sizeof at, "at %.3f us, M %u: ", static_cast<double>(now_->at_ns) / 1e3, now_->ring);
    out_.violations.push_back(at + what);
  }
  [[nodiscard]] std::string label(std::uint64_t g) const { return "fiber " + r_.fiber_label(g); }

  void step(const recorded& e) {
    switch (e.what) {
      case kind::p_taken: p_taken(e); break;
      case kind::p_left: p_goes(e.ring, e.p, "gives up"); break;
      case kind::p_revoked: p_goes(static_cast<std::uint32_t>(e.subject), e.p, "loses"); break;
      case kind::p_lost: machines_[e.ring].p = no_p; break;
      case kind::spawn: set(e.subject, state::queued); break;
      case kind::run: runs(e); break;
      case kind::park: stops(e, state::parked, "parks"); break;
      case kind::unpark: unparks(e); break;
      case kind::ready: readied(e); break;
      case kind::yield: stops(e, state::queued, "yields"); break;
      case kind::queue_return: stops(e, state::queued, "queues for a P"); break;
      case kind::end: stops(e, state::ended, "ends"); break;
      case kind::call_begin: call_begins(e); break;
      case kind::call_end: call_ends(e); break;
      default: break;
    }
  }

  void p_taken(const recorded& e) {
    auto& owner = owners_.try_emplace(e.p, std::nullopt).first->second;
    if (owner.has_value() && *owner != nobody) {
      violates("takes P " + std::to_string(e.p) + ", which belongs to M " + std::to_string(*owner));
    }
    owner = e.ring;
    machines_[e.ring].p = e.p;
  }

  void p_goes(std::uint32_t from, std::uint16_t p, const char* how) {
    auto& owner = owners_.try_emplace(p, std::nullopt).first->second;
    if (owner.has_value() && *owner != from) {
      violates("M " + std::to_string(from) + ' ' + how + " P " + std::to_string(p) + ", which " +
               (*owner == nobody ? std::string("belongs to nobody") : "belongs to M " + std::to_string(*owner)));
    }
    owner = nobody;
    machines_[from].p = no_p;
  }

  void set(std::uint64_t g, state s) { fibers_[g].is = s; }

  void runs(const recorded& e) {
    fiber& f = fibers_[e.subject];
    if (f.is != state::unknown && f.is != state::queued) violates(label(e.subject) + " goes on, and was not readied");
    machine& m = machines_[e.ring];
    if (m.p.has_value() && (*m.p == no_p || *m.p != e.p)) {
      violates(label(e.subject) + " goes on without the P of its M");
    }
    if (m.fiber.has_value() && *m.fiber != 0 && *m.fiber != e.subject) {
      violates(label(e.subject) + " goes on where " + label(*m.fiber) + " still runs");
    }
    if (e.p == no_p) violates(label(e.subject) + " goes on without a P");
    f.is = state::runs;
    f.m = e.ring;
    m.fiber = e.subject;
  }

  // The fiber runs, and goes into state s.
  void stops(const recorded& e, state s, const char* how) {
    fiber& f = fibers_[e.subject];
    if (f.is != state::unknown && (f.is != state::runs || f.m != e.ring)) {
      violates(label(e.subject) + ' ' + how + ", and does not run here");
    }
    if (f.in_call.value_or(false)) violates(label(e.subject) + ' ' + how + " in a declared call");
    f.is = s;
    machines_[e.ring].fiber = 0;
    if (s == state::ended) fibers_.erase(e.subject);
  }

  void unparks(const recorded& e) {
    fiber& f = fibers_[e.subject];
    if (f.is != state::unknown && f.is != state::parked)
      violates(label(e.subject) + " is unparked, and was not parked");
    f.is = e.detail == 1 ? state::runs : state::queued;
    if (e.detail == 1) machines_[e.ring].fiber = e.subject;
  }

  void readied(const recorded& e) {
    if (static_cast<woke>(e.detail) == woke::early) return;
    fiber& f = fibers_[e.subject];
    if (f.is != state::unknown && f.is != state::parked) violates(label(e.subject) + " is readied, and was not parked");
    f.is = state::queued;
  }

  void call_begins(const recorded& e) {
    fiber& f = fibers_[e.subject];
    if (f.in_call.value_or(false)) violates(label(e.subject) + " begins a call in a call");
    f.in_call = true;
  }

  void call_ends(const recorded& e) {
    fiber& f = fibers_[e.subject];
    if (f.in_call.has_value() && !*f.in_call) violates(label(e.subject) + " ends a call that did not begin");
    f.in_call = false;
  }

  const recording& r_;
  verdict out_;
  const recorded* now_ = nullptr;
  std::unordered_map<std::uint64_t, fiber> fibers_;
  std::unordered_map<std::uint32_t, machine> machines_;
  std::unordered_map<std::uint16_t, std::optional<std::uint32_t>> owners_;
};

}  // namespace

verdict check(const recording& r) { return replay(r).run(); }

}  // namespace baton::trace
