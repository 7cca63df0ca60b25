// The table of return addresses is open addressing with a short probe: a place is claimed by one
// compare-and-swap and never given up, so readers need no lock. The list of sites that have learnt
// something only grows, at its head.
#include <baton/sched/call_site.h>

namespace baton::sched {

namespace mo = platform::mo;

namespace {
constexpr std::size_t probes = 8;
platform::atomic<call_site*> learnt{nullptr};
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

void call_site::learn(bool was_long, bool handed_over, const void* from) noexcept {
  score(was_long);
  if (handed_over) handed_over_.fetch_add(1, mo::relaxed);
  // Of a closure: where its code is. relaxed: any of them will do.
  if (name_ != nullptr && address_.load(mo::relaxed) == nullptr) address_.store(const_cast<void*>(from), mo::relaxed);
  list();
}

void call_site::was_retaken() noexcept {
  score(true);
  retaken_.fetch_add(1, mo::relaxed);
  list();
}

void call_site::score(bool was_long) noexcept {
  const std::uint32_t s = score_.load(mo::relaxed);
  const std::uint32_t base = s == never_seen ? threshold : s;
  const std::uint32_t next = was_long ? (base + 2 > top ? top : base + 2) : (base > 0 ? base - 1 : 0);
  // relaxed, here and below: hints and statistics; a lost update costs one vain or one missed hand-over.
  if (next != s) score_.store(next, mo::relaxed);
  (was_long ? timed_long_ : timed_short_).fetch_add(1, mo::relaxed);
}

void call_site::list() noexcept {
  if (listed_.load(mo::relaxed) || listed_.exchange(true, mo::relaxed)) return;
  next_ = learnt.load(mo::relaxed);
  while (!learnt.compare_exchange_weak(next_, this, mo::release, mo::relaxed)) {
  }
}

void call_site::for_each(void (*visit)(const history&, void*), void* arg) {
  // acquire: pairs with the release above; next_ is complete.
  for (const call_site* s = learnt.load(mo::acquire); s != nullptr; s = s->next_) {
    history h;
    h.name = s->name_;
    h.address = s->address_.load(mo::relaxed);
    h.system_call = s->system_call_;
    h.expected = s->expect();
    h.handed_over = s->handed_over_.load(mo::relaxed);
    h.retaken = s->retaken_.load(mo::relaxed);
    h.timed_long = s->timed_long_.load(mo::relaxed);
    h.timed_short = s->timed_short_.load(mo::relaxed);
    visit(h, arg);
  }
}

}  // namespace baton::sched
