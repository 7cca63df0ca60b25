// The table of return addresses is open addressing with a short probe. One compare-and-swap claims a place, and a place
// is never given up, so readers need no lock. The list of histories only grows, at its head. A history outlives its
// site, which is in a module of the user's: nothing here keeps a pointer to a site.
#include <baton/sched/call_site.h>

#include <baton/sched/closure_name.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/peek_memory.h>
#include <baton/sched/rescue_report.h>
#include <baton/sched/unwind/stack_trace.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

namespace baton::sched {

namespace mo = platform::mo;

namespace {

std::size_t copy_text(std::string_view text, char (&to)[256]) noexcept {
  const std::size_t n = text.size() < sizeof to ? text.size() : sizeof to;
  std::memcpy(to, text.data(), n);
  return n;
}

constexpr std::size_t probes = 8;
constinit call_site others("enter_syscall, in more places than are kept apart");
}  // namespace

constinit call_site call_site_table[call_site_places];

call_site& call_site::find(void* address) noexcept {
  const auto bits = reinterpret_cast<std::uintptr_t>(address);
  for (std::size_t i = 0; i < probes; ++i) {
    call_site& s = call_site_table[((bits ^ bits >> 10) + i) % call_site_places];
    void* there = nullptr;
    if (s.address_.compare_exchange_strong(there, address, mo::relaxed, mo::relaxed) || there == address) return s;
  }
  return others;
}

// Written by the threads that learn, read by for_each().
struct call_site::record {
  record* next = nullptr;
  const char* name = nullptr;          // behind it, in the same piece of memory; or a wrapper's
  platform::atomic<bool> made{false};  // of those in a table
  platform::atomic<void*> address{nullptr};
  long system_call = -1;
  // relaxed, here and below: hints and statistics. A lost update costs one useless or one missed handoff.
  platform::atomic<std::uint32_t> score{never_seen};
  platform::atomic<std::uint32_t> handed_over{0}, retaken{0}, timed_long{0}, timed_short{0};
};

constinit platform::atomic<call_site::record*> call_site::records{nullptr};

void call_site::learn(bool was_long, bool handed_over, const void* from) noexcept {
  record* const r = learnt(was_long);
  if (r == nullptr) return;
  if (handed_over) r->handed_over.fetch_add(1, mo::relaxed);
  // For a closure: the place of its code. relaxed: any of them will do.
  if (name_.load(mo::relaxed) != nullptr && r->address.load(mo::relaxed) == nullptr) {
    r->address.store(const_cast<void*>(from), mo::relaxed);
  }
}

void call_site::was_retaken() noexcept {
  if (record* const r = learnt(true)) r->retaken.fetch_add(1, mo::relaxed);
}

// Without memory there is no record, but what was learnt still counts.
call_site::record* call_site::learnt(bool was_long) noexcept {
  const std::uint32_t s = score_.load(mo::relaxed);
  const std::uint32_t base = s == never_seen ? threshold : s;
  const std::uint32_t next = was_long ? (base + 2 > top ? top : base + 2) : (base > 0 ? base - 1 : 0);
  if (next != s) score_.store(next, mo::relaxed);
  // acquire: pairs with the release in make_record().
  record* r = record_.load(mo::acquire);
  if (r == nullptr) r = make_record();
  if (r == nullptr) return nullptr;
  if (r->score.load(mo::relaxed) != next) r->score.store(next, mo::relaxed);
  (was_long ? r->timed_long : r->timed_short).fetch_add(1, mo::relaxed);
  return r;
}

// A site of the table, or one of the others, gets its record from a table as well, and not from the heap: its call may
// be one that a signal handler makes, which may have interrupted malloc(). Such a name is a wrapper's, and stays.
call_site::record* call_site::make_record() noexcept {
  static constinit record in_table[call_site_places + 1];
  const auto publish = [](record* mine) {
    mine->next = records.load(mo::relaxed);
    while (!records.compare_exchange_weak(mine->next, mine, mo::release, mo::relaxed)) {
    }
    return mine;
  };
  if (this == &others || (this >= call_site_table && this < call_site_table + call_site_places)) {
    record* const mine =
        in_table + (this == &others ? call_site_places : static_cast<std::size_t>(this - call_site_table));
    if (mine->made.exchange(true, mo::relaxed)) return nullptr;  // it is being made; this call goes unrecorded
    mine->name = name_.load(mo::relaxed);
    mine->address.store(address_.load(mo::relaxed), mo::relaxed);
    record_.store(mine, mo::release);  // pairs with the acquire in learnt()
    return publish(mine);
  }
  const char* const name = name_.load(mo::relaxed);
  const std::size_t name_size = name != nullptr ? std::strlen(name) + 1 : 0;
  void* const memory = std::malloc(sizeof(record) + name_size);
  if (memory == nullptr) return nullptr;
  auto* const mine = ::new (memory) record;
  if (name != nullptr) {
    mine->name = static_cast<const char*>(std::memcpy(static_cast<char*>(memory) + sizeof(record), name, name_size));
  }
  mine->address.store(address_.load(mo::relaxed), mo::relaxed);
  mine->system_call = system_call_;
  record* there = nullptr;
  if (!record_.compare_exchange_strong(there, mine, mo::acq_rel, mo::acquire)) {
    std::free(memory);  // another thread learns at the same time
    return there;
  }
  return publish(mine);
}

void call_site::for_each(void (*visit)(const history&, void*), void* arg) {
  // acquire: pairs with the release above; next is complete.
  for (const record* r = records.load(mo::acquire); r != nullptr; r = r->next) {
    history h;
    h.name = r->name;
    h.address = r->address.load(mo::relaxed);
    h.system_call = r->system_call;
    h.expected = verdict_of(r->score.load(mo::relaxed));
    h.handed_over = r->handed_over.load(mo::relaxed);
    h.retaken = r->retaken.load(mo::relaxed);
    h.timed_long = r->timed_long.load(mo::relaxed);
    h.timed_short = r->timed_short.load(mo::relaxed);
    visit(h, arg);
  }
}

std::size_t call_site::name_at(std::uintptr_t address, char (&to)[256]) noexcept {
  alignas(call_site) std::byte copy[sizeof(call_site)];
  if (!platform::peek_memory(address, copy, sizeof copy)) return copy_text("a call site that is gone", to);
  const auto* const s = reinterpret_cast<const call_site*>(copy);
  if (s->system_call_ >= 0) {
    const char* const known = name_of_syscall(s->system_call_);
    return copy_text(known != nullptr ? known : "a system call", to);
  }
  if (const char* const name = s->name_.load(mo::relaxed)) {
    char text[512];
    platform::peek_window<64> window;
    const auto at = reinterpret_cast<std::uintptr_t>(name);
    std::size_t n = 0;
    while (n < sizeof text && window.read(at + n, text[n]) && text[n] != '\0') ++n;
    const std::string_view shown = closure_in({text, n});
    return make_plain(shown.substr(0, whole_characters(shown, sizeof to - 4)), to);
  }
  return format_frame(s->address_.load(mo::relaxed), to);
}

}  // namespace baton::sched
