// The page is page.html, with two texts put in: what is said once (names, figures; JSON), and the events, column by
// column, as base64. page.html says the order of the columns.
#include <baton/runtime/trace/page.h>

#include <baton/runtime/trace/figures.h>
#include <baton/sched/trace/trace.h>
#include <baton/sched/wait_reason.h>

#include <absl/strings/escaping.h>
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <map>
#include <string_view>
#include <vector>

namespace baton::trace {

extern const char* const page_template;  // made of page.html by CMake

namespace {

using namespace sched::trace;

// JSON inside a script element: "</script" and "<!--" must not appear.
void quote(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || c == '<' || c == '>' || c == '&') {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      out += escaped;
    } else {
      out += c;
    }
  }
  out += '"';
}

// Appends "key": with a comma before it if needed.
void key(std::string& out, std::string_view name) {
  if (out.back() != '{' && out.back() != '[') out += ',';
  quote(out, name);
  out += ':';
}

void numbered(std::string& out, std::string_view name, const std::map<std::uint64_t, std::string>& texts) {
  key(out, name);
  out += '{';
  for (const auto& [number, text] : texts) {
    key(out, std::to_string(number));
    quote(out, text);
  }
  out += '}';
}

template <class Names>
void listed(std::string& out, std::string_view name, const Names& names) {
  key(out, name);
  out += '[';
  for (const char* const one : names) {
    if (out.back() != '[') out += ',';
    quote(out, one);
  }
  out += ']';
}

void add(std::string& out, const distribution& d, std::int64_t offset_ns) {
  out += "{\"count\":" + std::to_string(d.count());
  if (d.count() == 0) {
    out += '}';
    return;
  }
  out += ",\"p50\":" + std::to_string(d.percentile(0.5)) + ",\"p90\":" + std::to_string(d.percentile(0.9)) +
         ",\"p99\":" + std::to_string(d.percentile(0.99)) + ",\"buckets\":[";
  for (std::size_t i = 0; i < d.buckets().size(); ++i) {
    if (d.buckets()[i] == 0) continue;
    if (out.back() != '[') out += ',';
    out += '[' + std::to_string(i) + ',' + std::to_string(d.buckets()[i]) + ']';
  }
  out += "],\"longest\":[";
  for (const distribution::one& o : d.longest()) {
    if (out.back() != '[') out += ',';
    out += "{\"ns\":" + std::to_string(o.ns) + ",\"at\":" + std::to_string(o.at_ns - offset_ns) +
           ",\"g\":" + std::to_string(o.fiber) + ",\"what\":";
    quote(out, o.what);
    out += '}';
  }
  out += "]}";
}

// Numbers for addresses, from 1.
class numbers {
 public:
  std::uint32_t of(std::uint64_t address) {
    return of_.try_emplace(address, static_cast<std::uint32_t>(of_.size() + 1)).first->second;
  }
  template <class Name>
  [[nodiscard]] std::map<std::uint64_t, std::string> named(Name name) const {
    std::map<std::uint64_t, std::string> out;
    for (const auto& [address, number] : of_) out[number] = name(address);
    return out;
  }

 private:
  std::map<std::uint64_t, std::uint32_t> of_;
};

template <class T>
void append_column(std::string& out, const std::vector<T>& column) {
  out.append(reinterpret_cast<const char*>(column.data()), column.size() * sizeof(T));
}

class page {
 public:
  page(const recording& r, window shown) : r_(r) {
    for (const recorded& e : r.events) {
      if (e.at_ns < shown.from_ns || e.at_ns > shown.to_ns) continue;
      if (part_.events.empty()) offset_ = e.at_ns;
      part_.events.push_back(e);
    }
    part_.sites = r.sites;
    part_.fiber_names = r.fiber_names;
  }

  std::string data() {
    const std::size_t n = part_.events.size();
    std::vector<double> t(n);
    std::vector<std::uint32_t> g(n), o(n), x(n);
    std::vector<std::uint16_t> ring(n), p(n);
    std::vector<std::uint8_t> what(n), detail(n);
    for (std::size_t i = 0; i < n; ++i) {
      const recorded& e = part_.events[i];
      t[i] = static_cast<double>(e.at_ns - offset_);
      g[i] = static_cast<std::uint32_t>(e.subject);
      o[i] = object_of(e);
      x[i] = e.extra;
      ring[i] = ring_number(e.ring);
      p[i] = e.p;
      what[i] = static_cast<std::uint8_t>(e.what);
      detail[i] = e.detail;
    }
    std::string bytes;
    bytes.reserve(n * 26);
    append_column(bytes, t);
    append_column(bytes, g);
    append_column(bytes, o);
    append_column(bytes, x);
    append_column(bytes, ring);
    append_column(bytes, p);
    append_column(bytes, what);
    append_column(bytes, detail);
    return absl::Base64Escape(bytes);
  }

  // Requires: data() was called, which numbers the sites.
  std::string meta(const std::string& title) {
    std::string out = "{";
    key(out, "title");
    quote(out, title);
    key(out, "events");
    out += std::to_string(part_.events.size());
    key(out, "lost");
    out += std::to_string(r_.lost);
    if (part_.events.size() < r_.events.size()) {
      key(out, "note");
      quote(out, "a part of " + std::to_string(r_.events.size()) + " events");
    }
    names(out);
    add_figures(out);
    out += '}';
    return out;
  }

 private:
  static std::uint16_t ring_number(std::uint32_t ring) noexcept { return static_cast<std::uint16_t>(ring); }

  std::uint32_t object_of(const recorded& e) {
    switch (e.what) {
      case kind::call_begin:
      case kind::call_end: return e.object != 0 ? sites_.of(e.object) : 0;
      case kind::spawn: return e.object != 0 ? code_.of(e.object) : 0;
      default: return static_cast<std::uint32_t>(e.object);
    }
  }

  void names(std::string& out) {
    std::vector<const char*> kinds;
    for (int i = 0; i <= static_cast<int>(kind::thread_start); ++i) kinds.push_back(name_of(static_cast<kind>(i)));
    listed(out, "kinds", kinds);
    std::vector<const char*> reasons;
    for (int i = 0; i <= static_cast<int>(sched::wait_reason::other); ++i) {
      reasons.push_back(sched::name_of(static_cast<sched::wait_reason>(i)));
    }
    listed(out, "reasons", reasons);
    std::vector<const char*> causes;
    for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(left::locked_end); ++i)
      causes.push_back(cause_of_leaving(i));
    listed(out, "left", causes);
    causes.clear();
    for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(revoked::retired); ++i)
      causes.push_back(cause_of_revoking(i));
    listed(out, "revoked", causes);
    listed(out, "entry",
           std::vector<const char*>{"kept its P", "predicted: handed its P over", "unknown: handed its P over",
                                    "hinted: handed its P over"});
    std::map<std::uint64_t, std::string> rings;
    for (const auto& [ring, tids] : r_.threads) {
      rings[ring_number(ring)] = "M " + std::to_string(ring) + " (" + std::to_string(tids.back()) + ")";
    }
    rings[ring_number(ring_of_monitor)] = "monitor";
    rings[ring_number(ring_of_others)] = "other threads";
    numbered(out, "rings", rings);
    std::map<std::uint64_t, std::string> fibers(part_.fiber_names.begin(), part_.fiber_names.end());
    numbered(out, "names", fibers);
    numbered(out, "sites", sites_.named([&](std::uint64_t a) { return r_.site_name(a); }));
    numbered(out, "code", code_.named([&](std::uint64_t a) {
      const auto found = r_.code.find(a);
      return found != r_.code.end() ? found->second : std::string();
    }));
    numbered(out, "texts", {r_.texts.begin(), r_.texts.end()});
  }

  void add_figures(std::string& out) {
    const figures f = figures_of(part_);
    key(out, "figures");
    out += '{';
    key(out, "handoffs");
    add_map(out, f.handoffs);
    key(out, "ready");
    add(out, f.ready_to_run, offset_);
    key(out, "returned");
    add(out, f.return_to_run, offset_);
    key(out, "waits");
    add_map(out, f.waits);
    key(out, "sites");
    out += '[';
    for (const auto& [name, s] : f.sites) {
      if (out.back() != '[') out += ',';
      out += "{\"calls\":" + std::to_string(s.calls) + ",\"handed\":" + std::to_string(s.handed_over) +
             ",\"p99\":" + std::to_string(s.took.count() > 0 ? s.took.percentile(0.99) : -1) + ",\"name\":";
      quote(out, name);
      out += '}';
    }
    out += "]}";
  }

  void add_map(std::string& out, const std::map<std::string, distribution>& all) const {
    out += '{';
    for (const auto& [name, d] : all) {
      key(out, name);
      add(out, d, offset_);
    }
    out += '}';
  }

  const recording& r_;
  recording part_;  // what is shown
  std::int64_t offset_ = 0;
  numbers sites_, code_;
};

}  // namespace

void write_page(const recording& r, const std::string& title, window shown, std::ostream& out) {
  page p(r, shown);
  const std::string data = p.data();
  const std::string meta = p.meta(title);
  const std::string_view text = page_template;
  constexpr std::string_view meta_mark = "%META%", data_mark = "%DATA%";
  const std::size_t a = text.find(meta_mark), b = text.find(data_mark);
  out << text.substr(0, a) << meta << text.substr(a + meta_mark.size(), b - a - meta_mark.size()) << data
      << text.substr(b + data_mark.size());
}

}  // namespace baton::trace
